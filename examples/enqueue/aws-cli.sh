#!/bin/sh
# Uploads a picture and asks a question about it; the answer goes to the topic.
#
#   QUEUE_URL=… TOPIC_ARN=… BUCKET=… sh examples/enqueue/aws-cli.sh door.jpg "Is the door locked?"
#
# The three variables name your queue, topic and bucket; their defaults are those of the embedded AWS (`npm start`). To use it,
# set these instead. The keys can be anything:
#
#   export AWS_ENDPOINT_URL=http://127.0.0.1:4566 AWS_DEFAULT_REGION=us-east-1 AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test
set -eu

picture=${1:?usage: aws-cli.sh PICTURE QUESTION}
question=${2:?usage: aws-cli.sh PICTURE QUESTION}
bucket=${BUCKET:-kamado}
queue=${QUEUE_URL:-http://127.0.0.1:4566/000000000000/kamado-jobs}
topic=${TOPIC_ARN:-arn:aws:sns:us-east-1:000000000000:kamado-results}

# Version 1 of the CLI does not read AWS_ENDPOINT_URL for SQS.
aws() { command aws ${AWS_ENDPOINT_URL:+--endpoint-url "$AWS_ENDPOINT_URL"} "$@"; }

key="in/$(date +%Y%m%dT%H%M%S)-$$-$(basename "$picture")"
aws s3 cp --only-show-errors "$picture" "s3://$bucket/$key"

# A backslash or a quote in an argument would break out of the JSON.
escape() { printf '%s' "$1" | tr '\n\t' '  ' | sed 's/[\\"]/\\&/g'; }

aws sqs send-message --queue-url "$queue" --query MessageId --output text --message-body "{
  \"kind\": \"image.check\",
  \"input\": { \"image\": \"$(escape "s3://$bucket/$key")\", \"question\": \"$(escape "$question")\" },
  \"deliver\": [{ \"sns\": \"$topic\" }]
}"
