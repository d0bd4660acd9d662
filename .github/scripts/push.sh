#!/usr/bin/env bash
# Build the image of this commit and push it, unless the registry has it: one commit is built once.
#
#   push.sh REGISTRY COMMIT    the commit's whole id; credentials and region are those of the AWS CLI
set -euo pipefail
registry=$1
tag=git-$2
found=$(aws ecr batch-get-image --repository-name aurora-migrations --image-ids "imageTag=$tag" \
  --query 'images[0].imageId.imageTag' --output text)
if [ "$found" = "$tag" ]; then
  echo "The registry has $tag already; nothing was built."
  exit
fi
if [ "$(git rev-parse HEAD)" != "$2" ] || [ -n "$(git status --porcelain)" ]; then
  echo "The working tree is not commit $2, and a tag is written once. Nothing was built. Check it out, then repeat." >&2
  exit 1
fi
make image "IMAGE=$registry/aurora-migrations:$tag"
aws ecr get-login-password | docker login --username AWS --password-stdin "$registry"
docker push --quiet "$registry/aurora-migrations:$tag"
