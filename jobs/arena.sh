#!/usr/bin/env bash
# python -m arena.run, on a cluster. The arguments are those of the local command:
#
#   sbatch jobs/arena.sh conf=mixtral_vs_llama judge.zeta=0.4
#   sbatch --gpus-per-node=1 --time=3:00:00 jobs/arena.sh conf=mixtral_vs_llama judge.zeta=0.4
#
# sbatch takes its own options before the script's name; SBATCH_ACCOUNT, SBATCH_PARTITION, SBATCH_GPUS_PER_NODE,
# SBATCH_MEM_PER_NODE, SBATCH_TIMELIMIT and their like in the environment say the same for every job. Both win
# over what stands here; a job that names no GPU runs on processors. jobs/env.sh has the settings of this script.
# ARENA_VERB=collect, revise, train or evaluate in the environment starts that command instead.
# Nodes often reach no network: weights have to lie in the cache, or where ARENA_STAGE or ARENA_MODELS say.
#
# Before the time limit, when preempted or requeued, the run saves and the job starts again where it was.
#
#SBATCH --job-name=arena
#SBATCH --output=logs/%x-%j.out
#SBATCH --open-mode=append
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --mem=64G
#SBATCH --time=12:00:00
#SBATCH --requeue
#SBATCH --signal=TERM@180
[ -f jobs/env.sh ] || cd "${SLURM_SUBMIT_DIR:-.}" || exit
if [ ! -f jobs/env.sh ]; then
  echo "jobs/arena.sh: $PWD is not the root of a checkout: submit from there" >&2
  exit 2
fi
source jobs/env.sh
arena_job "arena.${ARENA_VERB:-run}" "$@"
