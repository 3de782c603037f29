#!/usr/bin/env bash
# Removes what up.sh made, so that nothing costs any more. The bucket stays unless WITH_BUCKET=1: your data may be in it.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
# shellcheck source=deploy/gcp/settings.sh
. "$here/settings.sh"
if [ -z "${DRY_RUN:-}" ]; then
  read -r -p "Removes $NAME from project $PROJECT, topics and state with it. Type its name: " said
  [ "$said" = "$NAME" ] || exit 1
fi

# What is not there is no reason to stop.
gone() { run gcloud "$@" --project="$PROJECT" --quiet || true; }

gone dataproc clusters delete "$NAME" --region="$REGION"
gone compute instances delete "$NAME-kafka" --zone="$ZONE"
gone filestore instances delete "$NAME" --zone="$ZONE"
for rule in kafka spark ssh; do gone compute firewall-rules delete "$NAME-$rule"; done
gone compute routers nats delete "$NAME" --router="$NAME" --region="$REGION"
gone compute routers delete "$NAME" --region="$REGION"
gone compute networks subnets delete "$NAME" --region="$REGION"
gone compute networks delete "$NAME"
gone secrets delete "$NAME-kafka"
run gcloud projects remove-iam-policy-binding "$PROJECT" --role=roles/dataproc.worker --condition=None --quiet \
  --member="serviceAccount:$NAME-spark@$PROJECT.iam.gserviceaccount.com" || true
for account in kafka spark; do gone iam service-accounts delete "$NAME-$account@$PROJECT.iam.gserviceaccount.com"; done
if [ -n "${WITH_BUCKET:-}" ]; then
  gone storage rm --recursive "gs://$BUCKET"
else
  printf 'kept: gs://%s\n' "$BUCKET"
fi
