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
policies="$(output WorkerPolicyArn) $(output EnqueuerPolicyArn) $(output OperatorPolicyArn)"
[ -n "$bucket" ] && [ "$bucket" != None ] || {
  echo "remove.sh: the stack $stack has no output BucketName; is it one of infra/template.yaml?" >&2
  exit 2
}

if [ "${YES:-}" != 1 ]; then
  printf 'This deletes the stack %s, its queues with all jobs, and the bucket %s with all results. Type its name to go on: ' "$stack" "$bucket"
  read -r answer || answer=
  [ "$answer" = "$stack" ] || { echo "Nothing was deleted." >&2; exit 1; }
fi

list=$(mktemp)
trap 'rm -f "$list"' EXIT

# One page of a list: at most 1,000 versions and delete markers together, which is also what one call deletes. With the CLI's own paging
# the markers of all pages would come at once. They are too many for an argument.
empty() {
  aws s3api head-bucket --bucket "$bucket" >/dev/null 2>&1 || return 0
  while :; do
    aws s3api list-object-versions --bucket "$bucket" --no-paginate --max-keys 1000 --output json \
      --query '{Objects: [Versions, DeleteMarkers][].{Key: Key, VersionId: VersionId}, Quiet: `true`}' >"$list"
    grep -q '"Key"' "$list" || return 0
    # The call succeeds even when it could not delete some of them.
    failed=$(aws s3api delete-objects --bucket "$bucket" --delete "file://$list" --output text --query 'Errors[0].[Key, Code, Message]')
    case $failed in
      '' | None) ;;
      *) echo "remove.sh: the bucket $bucket cannot be emptied: $failed" >&2; exit 1 ;;
    esac
  done
}

# AWS keeps a policy that somebody attached by hand, as README.md says to do.
detach() {
  for policy in $policies; do
    for kind in User Role Group; do
      names=$(aws iam list-entities-for-policy --policy-arn "$policy" --output text --query "Policy${kind}s[].${kind}Name") || continue
      for name in $names; do
        [ "$name" != None ] || continue
        option=$(echo "$kind" | tr URG urg)
        aws iam "detach-$option-policy" "--$option-name" "$name" --policy-arn "$policy"
      done
    done
  done
}

# First the keys: a worker that still runs with them can write nothing more into the bucket.
if [ -n "$user" ] && [ "$user" != None ]; then
  for key in $(aws iam list-access-keys --user-name "$user" --query 'AccessKeyMetadata[].AccessKeyId' --output text); do
    [ "$key" = None ] || aws iam delete-access-key --user-name "$user" --access-key-id "$key"
  done
fi
empty
aws cloudformation delete-stack --stack-name "$stack"
if ! aws cloudformation wait stack-delete-complete --stack-name "$stack"; then
  # Somebody wrote into the bucket meanwhile, such as a worker with credentials of its own, or was given a policy by hand.
  echo "remove.sh: once more, without what is still attached or in the bucket." >&2
  detach
  empty
  aws cloudformation delete-stack --stack-name "$stack"
  aws cloudformation wait stack-delete-complete --stack-name "$stack"
fi
echo "The stack $stack is gone, and with it the bucket $bucket."
