#!/usr/bin/env bash
# A study: all arms and seeds, measured on the same held-out prompts, one report.
#
#   jobs/study.sh                   conf=wim_study at the scale laptop: an hour and a half on two cores
#   jobs/study.sh tiny              the whole way in minutes; shows that it works, nothing else
#   sbatch jobs/study.sh full data.paths=[PROMPTS.jsonl]
#
# What stands behind the scale goes to every arm. One machine after the other trains all arms; to share them, submit
# one job for each arm, and one without `only` when they are done, which reports:
#
#   for arm in rating mixed wim shuffled random length rating_moving wim_moving; do
#     sbatch jobs/study.sh full data.paths=[PROMPTS.jsonl] only=[$arm]
#   done
#
# A job that is stopped goes on where it was, as with jobs/arena.sh. The report is runs/wim_study-SCALE/README.md.
#
#SBATCH --job-name=study
#SBATCH --output=logs/%x-%j.out
#SBATCH --open-mode=append
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --mem=64G
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --signal=TERM@180
[ -f jobs/env.sh ] || cd "${SLURM_SUBMIT_DIR:-.}" || exit
if [ ! -f jobs/env.sh ]; then
  echo "jobs/study.sh: $PWD is not the root of a checkout: go there first" >&2
  exit 2
fi
source jobs/env.sh

case ${1:-} in
  tiny | laptop | full)
    scale=$1
    shift
    arena_job arena.study "scale=$scale" "$@"
    ;;
  *=* | "") arena_job arena.study "$@" ;;
  -h | --help) sed -n '2,15s|^# \{0,1\}||p' "$0" ;;
  *) fail "the first word is the scale, tiny, laptop or full, got ${1@Q}" ;;
esac
