#!/bin/sh
# Removes a stack of template.yaml with everything in it: infra/remove.sh [STACK], `kamado` by default. It asks first, unless YES=1.
# AWS deletes neither a bucket that holds anything, old versions included, nor a user that has access keys; so both are emptied first.
set -eu
stack=${1:-kamado}
output() {
  aws cloudformation describe-stacks --stack-name "$stack" --output text \
    --query "Stacks[0].Outputs[?OutputKey=='$1'].OutputValue"
}
bucket=$(output BucketName)
user=$(output WorkerUserName)
[ -n "$bucket" ] || { echo "remove.sh: the stack $stack has no output BucketName; is it one of infra/template.yaml?" >&2; exit 2; }

if [ "${YES:-}" != 1 ]; then
  printf 'This deletes the stack %s, its queues with all jobs, and the bucket %s with all results. Type its name to go on: ' "$stack" "$bucket"
  read -r answer || answer=
  [ "$answer" = "$stack" ] || { echo "Nothing was deleted." >&2; exit 1; }
fi

# A list shows at most 1,000 versions, which is also what one call deletes. They are too many for an argument.
list=$(mktemp)
trap 'rm -f "$list"' EXIT
for kind in Versions DeleteMarkers; do
  while :; do
    aws s3api list-object-versions --bucket "$bucket" --max-items 1000 --output json \
      --query "{Objects: $kind[].{Key: Key, VersionId: VersionId}, Quiet: \`true\`}" >"$list"
    grep -q '"Key"' "$list" || break
    aws s3api delete-objects --bucket "$bucket" --delete "file://$list" >/dev/null
  done
done
if [ -n "$user" ] && [ "$user" != None ]; then
  for key in $(aws iam list-access-keys --user-name "$user" --query 'AccessKeyMetadata[].AccessKeyId' --output text); do
    [ "$key" = None ] || aws iam delete-access-key --user-name "$user" --access-key-id "$key"
  done
fi
aws cloudformation delete-stack --stack-name "$stack"
aws cloudformation wait stack-delete-complete --stack-name "$stack"
echo "The stack $stack is gone, and with it the bucket $bucket."
