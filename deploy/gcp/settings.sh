# What up.sh and down.sh build and remove. Set PROJECT; the rest may stay, or is taken from the environment.
# shellcheck shell=bash disable=SC2034
PROJECT=${PROJECT:?set PROJECT to the id of a project with billing}
REGION=${REGION:-europe-west1}
ZONE=${ZONE:-$REGION-b}
NAME=${NAME:-offbeat}

# A network of its own. Nothing in it has an address outside.
RANGE=${RANGE:-10.40.0.0/22}
# From here the console and `gcloud compute ssh --tunnel-through-iap` come.
IAP_RANGE=35.235.240.0/20

BUCKET=${BUCKET:-$PROJECT-$NAME}

KAFKA_MACHINE=${KAFKA_MACHINE:-e2-standard-2}
KAFKA_DISK_GB=${KAFKA_DISK_GB:-100}
KAFKA_VERSION=${KAFKA_VERSION:-4.0.0}

# Any image with Hadoop 3 on Debian 12: its own Spark is not used.
IMAGE=${IMAGE:-2.3-debian12}
MASTER_MACHINE=${MASTER_MACHINE:-n2-standard-4}
WORKER_MACHINE=${WORKER_MACHINE:-n2-standard-8}
WORKERS=${WORKERS:-2}
# The cluster deletes itself when nothing ran on it for so long.
IDLE=${IDLE:-1h}

# Capacity of the shared folder for state, in GiB: 1024 is the least that Filestore has. 0: none, for batches alone.
STATE_GB=${STATE_GB:-0}
STATE_ADDRESS_RANGE=${STATE_ADDRESS_RANGE:-10.41.0.0/29}

# Prints the command; runs it unless DRY_RUN is set.
run() {
  printf '%q ' "$@"
  printf '\n'
  if [ -z "${DRY_RUN:-}" ]; then "$@"; fi
}

# Whether something is there already, so that the same script goes on after a failure.
there() {
  [ -z "${DRY_RUN:-}" ] && gcloud "$@" --project="$PROJECT" >/dev/null 2>&1
}
