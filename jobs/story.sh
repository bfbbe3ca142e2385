#!/usr/bin/env bash
# The critic and the king, from top to bottom: a critic learns to rate abstracts of papers, is served, a king learns by
# PPO to write abstracts that it likes, and both are measured, the king by a second judge too.
#
#   jobs/story.sh                   as the confs critic and king have it
#   jobs/story.sh tiny              the whole way in minutes on two cores; shows that it works, not what it can do
#   sbatch jobs/story.sh            on a cluster; jobs/env.sh has the settings
#
# What stands behind the size goes to every command, so that it must be a setting that all of them have:
# jobs/story.sh tiny seed=1 precision=fp32 display=plain.
# Folders are runs/story-SIZE/critic, king, evaluate-critic, evaluate-king; what is done is not done again.
# ARENA_PORT is where the critic is served; default 8008. ARENA_DATA is the folder of the data sets.
#
#SBATCH --job-name=story
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
  echo "jobs/story.sh: $PWD is not the root of a checkout: go there first" >&2
  exit 2
fi
source jobs/env.sh

story=("$@")
size=full
case ${1:-} in
  full | tiny)
    size=$1
    shift
    ;;
  *=* | "") ;;
  -h | --help)
    sed -n '2,14s|^# \{0,1\}||p' "$0"
    exit 0
    ;;
  *) fail "the first word is the size, full or tiny, got ${1@Q}" ;;
esac
common=("$@")
root=runs/story-$size
port=${ARENA_PORT:-8008}
critic=(hydra.run.dir="$root/critic")
king=(hydra.run.dir="$root/king" judge.url="http://127.0.0.1:$port")
measure_critic=() measure_king=()
if [ "$size" = tiny ]; then
  critic+=(data.limit=48 heldout.limit=16 train.epochs=1)
  king+=(count=16 batch=4 drafts=2 passes=1 agents.policy.max_new_tokens=48)
  measure_critic=("${critic[@]:1}" evaluation.most=12)
  measure_king=("${king[@]:1}" evaluation.most=4)
else
  measure_king=("${king[@]:1}")
fi

# A command of the story, as a step of the job where there is one: SLURM warns steps alone of the time limit.
ended=
trap 'ended=yes' TERM
tell() {
  local rc=0 step=()
  ! in_batch_script || step=(srun --nodes=1 --ntasks=1 --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" --export=ALL)
  say "python -m" "${@@Q}"
  "${step[@]}" python -m "$@" "${common[@]}" || rc=$?
  [ "$rc" != 0 ] || return 0
  if in_batch_script && [ -z "$ended" ] && { [ "$rc" = "$STOPPED" ] || [ "$rc" = "$TERMINATED" ]; }; then
    restart "${story[@]}"
    rc=$STOPPED
  fi
  exit "$rc"
}

serving=
stop_serving() {
  [ -z "$serving" ] || kill "$serving" 2>/dev/null || true
  [ -z "$serving" ] || wait "$serving" || true
  serving=
}

listening() { (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; }

serve_critic() {
  local waited=0
  ! listening || fail "something listens at port $port already: choose another by ARENA_PORT"
  say "the critic is served at port $port"
  python -m arena.serve reward judge=critic judge.agent.adapter="$root/critic" port="$port" "${common[@]}" &
  serving=$!
  trap 'stop_serving; leave_scratch' EXIT
  until listening; do
    kill -0 "$serving" 2>/dev/null || fail "the reward server has ended: see above, or choose another ARENA_PORT"
    [ "$((waited += 1))" -lt 300 ] || fail "the reward server does not answer after 5 minutes"
    sleep 1
  done
}

tell arena.train conf=critic "${critic[@]}"
tell arena.evaluate conf=critic hydra.run.dir="$root/evaluate-critic" "${measure_critic[@]}"
serve_critic
tell arena.train conf=king "${king[@]}"
tell arena.evaluate conf=king hydra.run.dir="$root/evaluate-king" "${measure_king[@]}"
stop_serving
say "done: $root/evaluate-critic/README.md and $root/evaluate-king/README.md"
