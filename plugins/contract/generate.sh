#!/bin/sh
# Makes the Go code of the contract, the Python code beside the example, and
# docs/plugins-reference.md. protoc is Debian's protobuf-compiler, its two plug-ins for
# Go come from tools/go.mod; so the result is the same everywhere.
set -eu
cd "$(dirname "$0")/.."
root=..
command -v protoc >/dev/null || {
	echo "protoc is missing: make deps installs it (Debian's protobuf-compiler)." >&2
	exit 1
}
go -C $root/tools build -o ../bin/ google.golang.org/protobuf/cmd/protoc-gen-go google.golang.org/grpc/cmd/protoc-gen-go-grpc
protoc --proto_path=. \
	--plugin=$root/bin/protoc-gen-go --go_out=. --go_opt=paths=source_relative \
	--plugin=$root/bin/protoc-gen-go-grpc --go-grpc_out=. --go-grpc_opt=paths=source_relative \
	contract/v1/*.proto contract/v2/*.proto
protoc --proto_path=. --python_out=examples/python contract/v2/*.proto
set=$(mktemp)
trap 'rm -f "$set"' EXIT
protoc --proto_path=. --include_source_info --descriptor_set_out="$set" contract/v2/plugin.proto contract/v2/antivirus.proto \
	contract/v2/conservation.proto contract/v2/notification.proto contract/v2/key.proto contract/v1/plugin.proto contract/v1/antivirus.proto
go run ./contract/reference "$set" >$root/docs/plugins-reference.md.new
mv $root/docs/plugins-reference.md.new $root/docs/plugins-reference.md
