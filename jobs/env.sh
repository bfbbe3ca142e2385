# shellcheck shell=bash
# What job scripts share; to be sourced at the root of the checkout. Clusters differ in these variables alone:
#
#   ARENA_MODULES       modules to load, such as "python/3.11 cuda/12.6"
#   ARENA_VENV          an environment with bin/python; default: .venv of the checkout, else the python in PATH
#   ARENA_STAGE         folders of weights, with colons between them, to be copied to the node's own disk first:
#                       a model (it has a config.json), or a folder of models as ARENA_MODELS names one
#   ARENA_VERB          the command: run (default), collect, revise, train, evaluate
#   ARENA_MAX_RESTARTS  how often a run may be started again; default 20
#
# and in those that sbatch reads itself (SBATCH_ACCOUNT, SBATCH_PARTITION, ...).
set -euo pipefail

STOPPED=75     # arena.run was told to stop and has saved
TERMINATED=143 # SIGTERM came before arena.run could take it; nothing is lost either

say() { echo "jobs: $*" >&2; }

fail() {
  say "$*"
  exit 2
}

in_job() { [ -n "${SLURM_JOB_ID:-}" ]; }

# Whether this is the script that sbatch was given, and not a shell inside an allocation.
in_batch_script() { in_job && [ "${ENVIRONMENT:-}" = BATCH ]; }

load_modules() {
  type module >/dev/null 2>&1 || fail "ARENA_MODULES is set, but there is no command 'module' here: unset it"
  set +u # the functions behind it use variables that are not set
  # shellcheck disable=SC2086 # a list of modules
  module load $ARENA_MODULES
  set -u
}

find_python() {
  local environment=${ARENA_VENV:-}
  if [ -z "$environment" ] && [ -x .venv/bin/python ]; then
    environment=$PWD/.venv
  fi
  if [ -n "$environment" ]; then
    [ -x "$environment/bin/python" ] || fail "ARENA_VENV=$environment has no bin/python: make it, or name another"
    PATH=$environment/bin:$PATH
  fi
  type -P python >/dev/null || fail "no python in PATH: name an environment by ARENA_VENV"
}

# A folder on the node's own disk. Most clusters give none: then one is made here, and removed at the end. What the
# submitting shell called SLURM_TMPDIR may be the folder of another job, which is gone.
find_scratch() {
  if [ -d "${SLURM_TMPDIR:-}" ] && [ -w "$SLURM_TMPDIR" ]; then
    return
  fi
  export SLURM_TMPDIR=${TMPDIR:-/tmp}/arena-$SLURM_JOB_ID
  mkdir -p "$SLURM_TMPDIR"
  [ -O "$SLURM_TMPDIR" ] && [ ! -L "$SLURM_TMPDIR" ] || fail "$SLURM_TMPDIR is there already and not this job's"
  chmod 700 "$SLURM_TMPDIR"
  scratch=$SLURM_TMPDIR
  trap leave_scratch EXIT
}

# Removes that folder, if it was made here.
leave_scratch() { [ -z "${scratch:-}" ] || rm -rf "$scratch"; }

# Weights appear on the node whole or not at all: a job that was killed while copying may run here again.
stage_weights() {
  local folder folders coming=$SLURM_TMPDIR/models.coming
  export ARENA_MODELS=$SLURM_TMPDIR/models
  [ ! -d "$ARENA_MODELS" ] || return 0
  rm -rf "$coming"
  mkdir "$coming"
  IFS=: read -ra folders <<<"$ARENA_STAGE"
  for folder in "${folders[@]}"; do
    [ -d "$folder" ] || fail "ARENA_STAGE names $folder, which is no folder"
    [ -f "$folder/config.json" ] || folder=$folder/.
    cp -RL "$folder" "$coming/" # the hub's cache keeps links
  done
  mv "$coming" "$ARENA_MODELS"
  say "staged $ARENA_STAGE in $ARENA_MODELS"
}

# The options by which a new job gets what this one was given on the command line of sbatch.
same_resources() {
  local pair name resources gres limit
  for pair in job-name=SLURM_JOB_NAME account=SLURM_JOB_ACCOUNT partition=SLURM_JOB_PARTITION qos=SLURM_JOB_QOS \
    reservation=SLURM_JOB_RESERVATION cpus-per-task=SLURM_CPUS_PER_TASK mem=SLURM_MEM_PER_NODE \
    mem-per-cpu=SLURM_MEM_PER_CPU gpus=SLURM_GPUS; do
    name=${pair#*=}
    [ -z "${!name:-}" ] || echo "--${pair%%=*}=${!name}"
  done
  resources=$(squeue --noheader --jobs="$SLURM_JOB_ID" --format='%l %b')
  read -r limit gres <<<"$resources"
  echo "--time=$limit"
  case $gres in
    gres?*) echo "--gres=${gres#gres?}" ;;
  esac
}

# A new job with this script's arguments, for when this job has ended.
submit_successor() {
  local options
  mapfile -t options < <(same_resources)
  env --unset=SLURM_RESTART_COUNT --unset=SLURM_TMPDIR ARENA_RESTARTS=$((restarts + 1)) \
    sbatch --dependency="afterany:$SLURM_JOB_ID" "${options[@]}" "$0" "$@"
}

# Starts the run again: this job, under the same number, or a new one where a cluster does not let jobs requeue.
restart() {
  local restarts=$((${ARENA_RESTARTS:-0} + ${SLURM_RESTART_COUNT:-0})) most=${ARENA_MAX_RESTARTS:-20}
  local which="restart $((restarts + 1)) of at most $most"
  if [ "$restarts" -ge "$most" ]; then
    say "stopped after $restarts restarts; ARENA_MAX_RESTARTS is $most: submit the same command to go on"
  elif requeue; then
    say "stopped; job $SLURM_JOB_ID is requeued, $which"
    sleep 60 || true # SLURM ends this script now
  elif submit_successor "$@"; then
    say "stopped; requeueing was refused, so a new job goes on, $which"
  else
    say "stopped; requeueing and submitting were refused: submit the same command to go on"
  fi
}

# SLURM may end scontrol with the rest of the job before it has answered.
requeue() { scontrol requeue "$SLURM_JOB_ID" || [ $? -gt 128 ] || [ -n "$ended" ]; }

# arena_job MODULE ARGUMENTS...: `python -m MODULE ARGUMENTS...` as a step of the job, and again if it was stopped
# early; ends the script with its exit code. Without sbatch the same command, in the allocation if there is one.
arena_job() {
  local module=$1 rc=0 ended=
  local step=(srun --nodes=1 --ntasks=1 --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" --export=ALL)
  shift
  if ! in_batch_script; then
    in_job && [ -z "${SLURM_STEP_ID:-}" ] || step=()
    exec "${step[@]}" python -m "$module" "$@"
  fi
  say "job $SLURM_JOB_ID, restart ${SLURM_RESTART_COUNT:-0}, on $SLURM_JOB_NODELIST, $(date '+%F %T')"
  say "python -m $module" "${@@Q}"
  # SLURM signals the step alone to warn of the time limit. When it ends the whole job, this script gets SIGTERM
  # too: then it has decided already whether the job runs again, and the script only waits for the step.
  trap 'ended=yes' TERM
  "${step[@]}" python -m "$module" "$@" || rc=$?
  if [ -z "$ended" ] && { [ "$rc" = "$STOPPED" ] || [ "$rc" = "$TERMINATED" ]; }; then
    restart "$@"
    rc=$STOPPED
  fi
  exit "$rc"
}

[ -f arena/run.py ] || fail "$PWD is not the root of a checkout: go there first"
[ -z "${ARENA_MODULES:-}" ] || load_modules
find_python
export PYTHONUNBUFFERED=1 TOKENIZERS_PARALLELISM=false
if in_job; then
  export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}
  export HF_HUB_OFFLINE=${HF_HUB_OFFLINE:-1} HF_DATASETS_OFFLINE=${HF_DATASETS_OFFLINE:-1}
fi
if in_batch_script; then
  find_scratch
  [ -z "${ARENA_STAGE:-}" ] || stage_weights
elif [ -n "${ARENA_STAGE:-}" ]; then
  say "ARENA_STAGE is for jobs of sbatch, nothing is copied: name weights by ARENA_MODELS"
fi
