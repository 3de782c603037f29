#!/usr/bin/env bash
# Startup script of the VM with Kafka: one broker, TLS and a password for everybody from outside of the machine.
set -euo pipefail
[ ! -e /etc/kafka/ready ] || exit 0 # the service starts by itself

told() { curl -sSf -H Metadata-Flavor:Google "http://metadata.google.internal/computeMetadata/v1/instance/$1"; }
bucket=$(told attributes/bucket)
version=$(told attributes/kafka-version)
name=$(told hostname)
address=$(told network-interfaces/0/ip)
token=$(told service-accounts/default/token | python3 -c 'import json, sys; print(json.load(sys.stdin)["access_token"])')
project=$(curl -sSf -H Metadata-Flavor:Google http://metadata.google.internal/computeMetadata/v1/project/project-id)
# The token goes by standard input: command lines can be seen by others.
password=$(printf 'header = "Authorization: Bearer %s"\n' "$token" |
  curl -sSf -K - "https://secretmanager.googleapis.com/v1/projects/$project/secrets/$(told attributes/secret)/versions/latest:access" |
  python3 -c 'import base64, json, sys; print(base64.b64decode(json.load(sys.stdin)["payload"]["data"]).decode())')

apt-get update -qq
apt-get install -y -qq openjdk-17-jre-headless openssl
id kafka >/dev/null 2>&1 || useradd --system --home-dir /var/lib/kafka --create-home kafka
archive=kafka_2.13-$version
cd /opt
curl -sSfO "https://archive.apache.org/dist/kafka/$version/$archive.tgz"
curl -sSf "https://archive.apache.org/dist/kafka/$version/$archive.tgz.sha512" | cut -d: -f2 | tr -d ' \n' | tr 'A-F' 'a-f' >"$archive.sum"
[ "$(sha512sum "$archive.tgz" | cut -d' ' -f1)" = "$(cat "$archive.sum")" ]
tar -xzf "$archive.tgz"
ln -sfn "/opt/$archive" /opt/kafka

# An authority of its own; clients get its certificate from the bucket.
install -d -m 750 -o root -g kafka /etc/kafka
cd /etc/kafka
umask 027
openssl req -x509 -newkey rsa:3072 -nodes -days 1825 -subj "/CN=offbeat authority" -keyout authority.key -out authority.pem
openssl req -newkey rsa:3072 -nodes -subj "/CN=$name" -addext "subjectAltName=DNS:$name,IP:$address" -keyout broker.key -out broker.csr
openssl x509 -req -in broker.csr -CA authority.pem -CAkey authority.key -CAcreateserial -days 825 -copy_extensions copy -out broker.crt
cat broker.key broker.crt authority.pem >broker.pem
rm broker.key broker.csr
chmod 600 authority.key

# The listener without a password is for this machine alone: the broker writes to itself there.
cat >server.properties <<END
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:9094
controller.listener.names=CONTROLLER
listeners=SECURE://:9093,INTERNAL://127.0.0.1:9092,CONTROLLER://127.0.0.1:9094
advertised.listeners=SECURE://$name:9093,INTERNAL://127.0.0.1:9092
inter.broker.listener.name=INTERNAL
listener.security.protocol.map=SECURE:SASL_SSL,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT
ssl.keystore.type=PEM
ssl.keystore.location=/etc/kafka/broker.pem
ssl.enabled.protocols=TLSv1.3
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.secure.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
log.dirs=/var/lib/kafka/log
auto.create.topics.enable=false
num.partitions=8
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
END
chown root:kafka broker.pem server.properties
runuser -u kafka -- /opt/kafka/bin/kafka-storage.sh format --cluster-id "$(/opt/kafka/bin/kafka-storage.sh random-uuid)" \
  --config server.properties --add-scram "SCRAM-SHA-512=[name=offbeat,password=$password]"

cat >/etc/systemd/system/kafka.service <<END
[Unit]
After=network-online.target
Wants=network-online.target
[Service]
User=kafka
Environment=LOG_DIR=/var/lib/kafka/said
ExecStart=/opt/kafka/bin/kafka-server-start.sh /etc/kafka/server.properties
Restart=on-failure
LimitNOFILE=100000
[Install]
WantedBy=multi-user.target
END
systemctl daemon-reload
systemctl enable --now kafka
gcloud storage cp authority.pem "gs://$bucket/setup/kafka-authority.pem"
touch ready
