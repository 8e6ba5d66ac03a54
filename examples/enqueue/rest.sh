#!/bin/sh
# Sends a job through the REST API of the stack (infra/template.yaml): API Gateway puts the body on the queue. Needs curl 7.82 or later. The
# body is any job; the answer is {"id": …}.
#
#   JOBS_API_URL=… sh examples/enqueue/rest.sh '{"kind": "prompt", "input": {"prompt": "Say hello"}}'
#
# JOBS_API_URL is the stack's output JobsApiUrl. With RestApi=iam the request is signed with the keys of an enqueuer: set
# AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, and AWS_SESSION_TOKEN if there is one. With RestApi=cognito set JOBS_API_TOKEN to a token of
# the user pool instead.
set -eu

job=${1:?usage: rest.sh JOB}
url=${JOBS_API_URL:?set JOBS_API_URL to the output JobsApiUrl of the stack}

# The keys go to curl by its standard input: arguments of a program can be seen by everybody on the machine.
send() { curl --silent --show-error --fail-with-body --max-time 30 --config - "$@" --json "$job" "$url"; }

if [ -n "${JOBS_API_TOKEN:-}" ]; then
  printf 'header = "Authorization: %s"\n' "$JOBS_API_TOKEN" | send
else
  {
    printf 'user = "%s:%s"\n' "${AWS_ACCESS_KEY_ID:?}" "${AWS_SECRET_ACCESS_KEY:?}"
    if [ -n "${AWS_SESSION_TOKEN:-}" ]; then printf 'header = "X-Amz-Security-Token: %s"\n' "$AWS_SESSION_TOKEN"; fi
  } | send --aws-sigv4 "aws:amz:${AWS_REGION:-us-east-1}:execute-api"
fi
