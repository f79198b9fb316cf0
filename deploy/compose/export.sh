#!/bin/sh
# Writes the language model of HEROSERVE_MODEL for a `vllm serve` beside the service:
#   export.sh FOLDER VERSION
# Once for each model, revision, chat template and version of ours: FOLDER/current leads to the one that is meant now. A branch of a hub that
# moves is not noticed: name a commit (HEROSERVE_REVISION).
set -eu
folder=$1 version=$2
model=${HEROSERVE_MODEL:-bundled} revision=${HEROSERVE_REVISION:-} template=${HEROSERVE_CHAT_TEMPLATE:-}
name=$(printf '%s\n' "$model" "$revision" "$template" "$version" | sha256sum | cut -c 1-16)
# It is there whole, or not at all.
[ -d "$folder/$name" ] ||
    python -m services.llm.export "$model" "$folder/$name" ${revision:+--revision "$revision"} ${template:+--chat-template "$template"}
ln -sfn "$name" "$folder/current"
