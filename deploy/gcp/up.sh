#!/usr/bin/env bash
# A network, a bucket, a VM with Kafka, and a Dataproc cluster with offbeat. The same command again goes on where it stopped.
#   PROJECT=my-project WHEEL=dist/offbeat-0.1.0-py3-none-any.whl deploy/gcp/up.sh        DRY_RUN=1 prints what it would do
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
# shellcheck source=deploy/gcp/settings.sh
. "$here/settings.sh"
WHEEL=${WHEEL:?set WHEEL to the wheel that make dist made}
gc() { run gcloud "$@" --project="$PROJECT"; }

gc services enable compute.googleapis.com dataproc.googleapis.com storage.googleapis.com secretmanager.googleapis.com file.googleapis.com

there compute networks describe "$NAME" ||
  gc compute networks create "$NAME" --subnet-mode=custom
there compute networks subnets describe "$NAME" --region="$REGION" ||
  gc compute networks subnets create "$NAME" --network="$NAME" --region="$REGION" --range="$RANGE" --enable-private-ip-google-access
# Packages come in through here; nothing can come in that was not asked for.
there compute routers describe "$NAME" --region="$REGION" ||
  gc compute routers create "$NAME" --network="$NAME" --region="$REGION"
there compute routers nats describe "$NAME" --router="$NAME" --region="$REGION" ||
  gc compute routers nats create "$NAME" --router="$NAME" --region="$REGION" --nat-all-subnet-ip-ranges --auto-allocate-nat-external-ips

# Who may talk to whom: by tag, and from ranges of our own.
there compute firewall-rules describe "$NAME-kafka" ||
  gc compute firewall-rules create "$NAME-kafka" --network="$NAME" --direction=INGRESS --allow=tcp:9093 \
    --source-tags="$NAME-spark" --target-tags="$NAME-kafka"
there compute firewall-rules describe "$NAME-spark" ||
  gc compute firewall-rules create "$NAME-spark" --network="$NAME" --direction=INGRESS --allow=tcp,udp,icmp \
    --source-tags="$NAME-spark" --target-tags="$NAME-spark"
there compute firewall-rules describe "$NAME-ssh" ||
  gc compute firewall-rules create "$NAME-ssh" --network="$NAME" --direction=INGRESS --allow=tcp:22 \
    --source-ranges="$IAP_RANGE" --target-tags="$NAME-kafka,$NAME-spark"

there storage buckets describe "gs://$BUCKET" ||
  gc storage buckets create "gs://$BUCKET" --location="$REGION" --uniform-bucket-level-access --public-access-prevention
gc storage cp "$WHEEL" "gs://$BUCKET/setup/"
gc storage cp "$here/dataproc-init.sh" "gs://$BUCKET/setup/dataproc-init.sh"

# Kafka and the cluster have an account each, which can do what it needs.
for account in kafka spark; do
  there iam service-accounts describe "$NAME-$account@$PROJECT.iam.gserviceaccount.com" ||
    gc iam service-accounts create "$NAME-$account"
  gc storage buckets add-iam-policy-binding "gs://$BUCKET" --role=roles/storage.objectAdmin \
    --member="serviceAccount:$NAME-$account@$PROJECT.iam.gserviceaccount.com"
done
run gcloud projects add-iam-policy-binding "$PROJECT" --role=roles/dataproc.worker --condition=None \
  --member="serviceAccount:$NAME-spark@$PROJECT.iam.gserviceaccount.com"

# The password is made here, kept by Secret Manager, and printed nowhere.
if ! there secrets describe "$NAME-kafka"; then
  gc secrets create "$NAME-kafka" --replication-policy=user-managed --locations="$REGION"
  if [ -z "${DRY_RUN:-}" ]; then
    openssl rand -hex 24 | tr -d '\n' | gcloud secrets versions add "$NAME-kafka" --project="$PROJECT" --data-file=-
  fi
fi
for account in kafka spark; do
  gc secrets add-iam-policy-binding "$NAME-kafka" --role=roles/secretmanager.secretAccessor \
    --member="serviceAccount:$NAME-$account@$PROJECT.iam.gserviceaccount.com"
done

there compute instances describe "$NAME-kafka" --zone="$ZONE" ||
  gc compute instances create "$NAME-kafka" --zone="$ZONE" --machine-type="$KAFKA_MACHINE" --image-family=debian-12 \
    --image-project=debian-cloud --boot-disk-size="${KAFKA_DISK_GB}GB" --boot-disk-type=pd-balanced --subnet="$NAME" --no-address \
    --tags="$NAME-kafka" --shielded-secure-boot --service-account="$NAME-kafka@$PROJECT.iam.gserviceaccount.com" --scopes=cloud-platform \
    --metadata="enable-oslogin=TRUE,bucket=$BUCKET,secret=$NAME-kafka,kafka-version=$KAFKA_VERSION" \
    --metadata-from-file="startup-script=$here/kafka-vm.sh"

state=none
if [ "$STATE_GB" != 0 ]; then
  there filestore instances describe "$NAME" --zone="$ZONE" ||
    gc filestore instances create "$NAME" --zone="$ZONE" --tier=BASIC_HDD --file-share="name=state,capacity=${STATE_GB}GB" \
      --network="name=$NAME,reserved-ip-range=$STATE_ADDRESS_RANGE"
  state=ADDRESS
  if [ -z "${DRY_RUN:-}" ]; then
    state=$(gcloud filestore instances describe "$NAME" --project="$PROJECT" --zone="$ZONE" --format='value(networks[0].ipAddresses[0])')
  fi
fi

there dataproc clusters describe "$NAME" --region="$REGION" ||
  gc dataproc clusters create "$NAME" --region="$REGION" --zone="$ZONE" --image-version="$IMAGE" --subnet="$NAME" --no-address \
    --tags="$NAME-spark" --service-account="$NAME-spark@$PROJECT.iam.gserviceaccount.com" --scopes=cloud-platform \
    --master-machine-type="$MASTER_MACHINE" --worker-machine-type="$WORKER_MACHINE" --num-workers="$WORKERS" --max-idle="$IDLE" \
    --initialization-actions="gs://$BUCKET/setup/dataproc-init.sh" --initialization-action-timeout=20m \
    --metadata="offbeat-bucket=$BUCKET,offbeat-wheel=$(basename "$WHEEL"),offbeat-state=$state"

printf '\nKafka: %s\nthen: gcloud compute ssh %s-m --tunnel-through-iap --zone=%s --project=%s\n' \
  "$NAME-kafka.$ZONE.c.$PROJECT.internal:9093" "$NAME" "$ZONE" "$PROJECT"
