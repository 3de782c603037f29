#!/usr/bin/env bash
# Initialisation action of every node: Java 17, offbeat with its own Spark under /opt/offbeat, the bucket under /mnt/bucket.
set -euo pipefail
told() { /usr/share/google/get_metadata_value "attributes/$1"; }
bucket=$(told offbeat-bucket)
wheel=$(told offbeat-wheel)
state=$(told offbeat-state)

apt-get update -qq
apt-get install -y -qq openjdk-17-jre-headless python3-venv nfs-common curl gnupg

# gcsfuse, from Google's own packages.
curl -sSf https://packages.cloud.google.com/apt/doc/apt-key.gpg | gpg --dearmor --yes -o /usr/share/keyrings/cloud.google.gpg
echo "deb [signed-by=/usr/share/keyrings/cloud.google.gpg] https://packages.cloud.google.com/apt gcsfuse-$(. /etc/os-release && echo "$VERSION_CODENAME") main" \
  >/etc/apt/sources.list.d/gcsfuse.list
apt-get update -qq
apt-get install -y -qq gcsfuse
mkdir -p /mnt/bucket
grep -q ' /mnt/bucket ' /etc/fstab ||
  echo "$bucket /mnt/bucket gcsfuse rw,allow_other,implicit_dirs,file_mode=666,dir_mode=777,_netdev" >>/etc/fstab
mountpoint -q /mnt/bucket || mount /mnt/bucket
if [ "$state" != none ]; then
  mkdir -p /mnt/state
  grep -q ' /mnt/state ' /etc/fstab || echo "$state:/state /mnt/state nfs defaults,hard,_netdev 0 0" >>/etc/fstab
  mountpoint -q /mnt/state || mount /mnt/state
  chmod 1777 /mnt/state
fi

# The image's Python is that of the node's own tools; this one is ours.
/usr/bin/python3 -m venv /opt/offbeat
/opt/offbeat/bin/pip install --quiet "/mnt/bucket/setup/${wheel}[spark,kafka]"
cp /mnt/bucket/setup/kafka-authority.pem /opt/offbeat/kafka-authority.pem || true # a cluster may be there without Kafka
# Compiles once what every job needs; workers find it beside the package.
work=$(mktemp -d)
/opt/offbeat/bin/offbeat generate cdr --rows 200000 --days 30 --out "$work/calls" >/dev/null
/opt/offbeat/bin/offbeat run cdr "$work/calls" >/dev/null
rm -r "$work"

cat >/usr/local/bin/offbeat-submit <<'END'
#!/usr/bin/env bash
# offbeat-submit COMMAND…: `offbeat COMMAND…` as a job on this cluster, by the Spark that came with offbeat.
set -euo pipefail
java=$(dirname "$(dirname "$(readlink -f /usr/lib/jvm/java-17-openjdk-*/bin/java)")")
export JAVA_HOME=$java HADOOP_CONF_DIR=/etc/hadoop/conf PYSPARK_PYTHON=/opt/offbeat/bin/python
SPARK_HOME=$(/opt/offbeat/bin/python -c 'import os, pyspark; print(os.path.dirname(pyspark.__file__))')
export SPARK_HOME
unset SPARK_CONF_DIR # that of the image's Spark
job=$(mktemp --suffix=.py)
trap 'rm -f "$job"' EXIT
printf 'from offbeat.cli.app import main\n\nmain()\n' >"$job"
"$SPARK_HOME/bin/spark-submit" --master yarn --packages org.apache.spark:spark-sql-kafka-0-10_2.13:4.2.0 \
  --conf spark.pyspark.python=/opt/offbeat/bin/python --conf "spark.executorEnv.JAVA_HOME=$java" \
  --conf "spark.yarn.appMasterEnv.JAVA_HOME=$java" --conf "spark.yarn.jars=local:$SPARK_HOME/jars/*" \
  --conf spark.sql.session.timeZone=UTC ${OFFBEAT_SUBMIT:-} "$job" "$@"
END
chmod 755 /usr/local/bin/offbeat-submit
