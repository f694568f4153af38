#!/bin/bash
# Keeps both jobs on a Flink session cluster: one that the JobManager does not know is started from its newest savepoint or retained
# checkpoint, or from nothing where there is none. One that it knows is left alone, whatever its state: whoever stopped it meant it.
#   keep-jobs.sh JOBMANAGER-URL DATA-DIRECTORY JAR CONFIGURATION-DIRECTORY [SECONDS]
# SECONDS between two looks; without it there is one.
set -eu

url=$1
data=$2
jar=$3
configuration=$4
every=${5:-}

say() {
  echo "keep-jobs: $1" >&2
}

# The directory with the newest _metadata among a job's savepoints and checkpoints, or nothing.
newest() {
  local where=()
  for directory in "$data/savepoints/$1" "$data/checkpoints/$1"; do
    [ -d "$directory" ] && where+=("$directory")
  done
  [ ${#where[@]} -eq 0 ] || find "${where[@]}" -name _metadata -printf '%T@ %h\n' | sort -n | tail -n 1 | cut -d ' ' -f 2-
}

# keep FILE MAIN-CLASS NAME-IN-FLINK
keep() {
  local jobs state from=()
  jobs=$(curl -fsS "$url/jobs/overview") || {
    say "no answer from $url"
    return 1
  }
  case $jobs in
    *"\"name\":\"$3\""*) return ;;
  esac
  state=$(newest "$1")
  if [ -n "$state" ]; then
    say "$3: goes on from $state"
    from=(-s "file://$state")
  else
    say "$3: starts, there is no savepoint or checkpoint of it in $data"
  fi
  flink run -m "${url#http://}" -d \
    -Dexecution.checkpointing.dir="file://$data/checkpoints/$1" \
    -Dexecution.checkpointing.savepoint-dir="file://$data/savepoints/$1" \
    "${from[@]}" -c "$2" "$jar" --config "$configuration/$1.yaml"
}

[ -z "$every" ] || trap 'exit 0' TERM INT
while :; do
  failed=0
  keep finetune io.whetstream.jobs.finetune.FineTuneJob "whetstream finetune compose" || failed=1
  keep score io.whetstream.jobs.score.ScoreJob compose-score || failed=1
  [ -n "$every" ] || exit "$failed"
  # In the background, so that a signal ends it at once.
  sleep "$every" &
  wait $!
done
