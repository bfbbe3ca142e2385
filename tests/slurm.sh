#!/usr/bin/env bash
# A SLURM cluster of one node, for tests: its own key, sockets, ports and state below one folder, no system service.
#
#   tests/slurm.sh up FOLDER      bring it up, if it is not; prints the path of its slurm.conf, for SLURM_CONF
#   tests/slurm.sh down FOLDER    cancel its jobs and stop its daemons
#
# Installs Debian's packages where they are missing, which needs root; exits 69 where they cannot be had. The node
# claims more processors, memory and GPUs than there are, so that scripts for large machines can be submitted.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin
PACKAGES=(munge slurmctld slurmd slurm-client)
UNAVAILABLE=69

usage() {
  sed -n '2,5s/^# \?//p' "$0" >&2
  exit 2
}

installed() { type -P munged slurmctld slurmd sbatch >/dev/null; }

install_packages() {
  if [ "$(id -u)" != 0 ] || ! type -P apt-get >/dev/null; then
    echo "no SLURM here: it takes root and apt-get to install ${PACKAGES[*]}" >&2
    exit "$UNAVAILABLE"
  fi
  # In runlevel 1 Debian's packages leave their services alone.
  local apt=(env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -qq)
  local install=("${apt[@]}" install --yes --no-install-recommends "${PACKAGES[@]}")
  if ! "${install[@]}" >&2 && ! { "${apt[@]}" update && "${install[@]}"; } >&2; then
    echo "no SLURM here: apt-get could not install ${PACKAGES[*]}" >&2
    exit "$UNAVAILABLE"
  fi
}

# A zombie counts as dead: inside a container nobody may reap it.
alive() {
  local pid
  pid=$(cat "$1" 2>/dev/null) && grep -qs '^State:[[:space:]]*[^ZX[:space:]]' "/proc/$pid/status"
}

# The first of two neighbouring ports of the loopback interface that nobody listens on.
free_ports() {
  local port
  while port=$((20000 + RANDOM % 12000)); do
    if ! (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null && ! (: <"/dev/tcp/127.0.0.1/$((port + 1))") 2>/dev/null; then
      echo "$port"
      return
    fi
  done
}

configure() {
  local user host port gpu
  user=$(id -un) host=$(hostname -s) port=$(free_ports)
  (umask 077 && head -c 256 /dev/urandom >munge.key)
  for gpu in null zero; do echo "Name=gpu File=/dev/$gpu"; done >gres.conf
  # A requeued job waits for as long as cred_expire says: 120 s by default, and with less than 5.
  cat >slurm.conf <<CONF
ClusterName=arena
SlurmUser=$user
SlurmdUser=$user
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmdPort=$((port + 1))
AuthInfo=socket=$PWD/munge.socket,cred_expire=5
StateSaveLocation=$PWD/state
SlurmdSpoolDir=$PWD/spool
SlurmctldPidFile=$PWD/slurmctld.pid
SlurmdPidFile=$PWD/slurmd.pid
SlurmctldLogFile=$PWD/slurmctld.log
SlurmdLogFile=$PWD/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=1,bf_interval=1
ReturnToService=2
GresTypes=gpu
NodeName=$host NodeAddr=127.0.0.1 CPUs=64 RealMemory=1000000 Gres=gpu:2
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
  if [ "$(sbatch --version | grep -oE '[0-9]+' | head -n 1)" -ge 24 ]; then
    echo CgroupPlugin=disabled >cgroup.conf # without it slurmd wants systemd; older ones do not know the word
  fi
}

start() {
  alive munged.pid || munged --key-file="$PWD/munge.key" --socket="$PWD/munge.socket" --seed-file="$PWD/munge.seed" \
    --pid-file="$PWD/munged.pid" --log-file="$PWD/munged.log" >&2
  alive slurmctld.pid || slurmctld -f "$SLURM_CONF" >&2
  alive slurmd.pid || slurmd -f "$SLURM_CONF" >&2
  local _
  for _ in {1..150}; do
    if sinfo --noheader --format=%t 2>/dev/null | grep -qxE 'idle|mix|alloc'; then
      echo "$SLURM_CONF"
      return
    fi
    sleep 0.1
  done
  echo "SLURM did not come up; the ends of its logs:" >&2
  tail -n 20 ./*.log >&2
  exit 1
}

stop() {
  local daemon _
  if alive slurmctld.pid; then
    scancel --user="$(id -un)" 2>/dev/null || true
    for _ in {1..200}; do
      [ -n "$(squeue --noheader 2>/dev/null)" ] || break
      sleep 0.2
    done
  fi
  for daemon in slurmd slurmctld munged; do
    while alive "$daemon.pid"; do
      { kill "$(cat "$daemon.pid")" || true; } 2>/dev/null
      sleep 0.1
    done
  done
}

[ $# = 2 ] || usage
case $1 in
  up)
    installed || install_packages
    mkdir -p "$2"
    cd "$2"
    chmod 755 . # munge wants its socket where everybody can reach it
    export SLURM_CONF=$PWD/slurm.conf
    [ -s slurm.conf ] || configure
    start
    ;;
  down)
    [ -s "$2/slurm.conf" ] || exit 0
    cd "$2"
    export SLURM_CONF=$PWD/slurm.conf
    stop
    ;;
  *) usage ;;
esac
