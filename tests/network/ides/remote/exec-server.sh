# shellcheck shell=sh
echo "$UUID: running"
echo "Script executing under PID: $$"

AGENT_FOLDER="$HOME/.vscode-server"
CLI_PATH="$AGENT_FOLDER/code-$COMMIT"
ARCHIVE="vscode-cli-$COMMIT.tar.gz"
CLI_LOG_FILE="$AGENT_FOLDER/.cli.$COMMIT.log"
LISTENING_ON=
DID_LOCAL_DOWNLOAD=0
LIBC=

print_results() {
	echo "$UUID: start"
	echo "exitCode==$1=="
	echo "listeningOn==$LISTENING_ON=="
	echo "osReleaseId==$OS_RELEASE_ID=="
	echo "arch==$ARCH=="
	echo "libc==$LIBC=="
	echo "didLocalDownload==$DID_LOCAL_DOWNLOAD=="
	echo "$UUID: end"
}

fail() {
	print_results "$1"
	exit 0
}

if ! command -v uname > /dev/null; then fail 35; fi
ARCH="$(uname -m)"
OS_RELEASE_ID="$(grep -i '^ID=' /etc/os-release 2> /dev/null | sed 's/^ID=//' | sed 's/"//g')"
if ldd --version 2>&1 | grep -qi musl; then
	LIBC=musl
elif [ -f /etc/alpine-release ]; then
	LIBC=musl
else
	LIBC=glibc
fi

(umask 077 && mkdir -p "$AGENT_FOLDER") || fail 34
if [ ! -f "$CLI_PATH" ]; then
	echo "Installing to $AGENT_FOLDER..."
	if command -v wget > /dev/null 2>&1; then
		wget --tries=1 -nv -O "$AGENT_FOLDER/$ARCHIVE" "$URL" || fail 25
	elif command -v curl > /dev/null 2>&1; then
		curl -L "$URL" --output "$AGENT_FOLDER/$ARCHIVE" || fail 25
	else
		DID_LOCAL_DOWNLOAD=1
		echo "Trigger local server download"
		echo "$UUID:trigger_server_download"
		echo "artifact==cli-alpine-x64=="
		echo "destFolder==$AGENT_FOLDER=="
		echo "destFolder2==/$ARCHIVE=="
		echo "$UUID:trigger_server_download_end"
		echo "Waiting for client to transfer server archive..."
		while [ ! -f "$AGENT_FOLDER/$ARCHIVE.done" ]; do
			printf ' '
			sleep 0.1
		done
		echo
		if [ ! -f "$AGENT_FOLDER/$ARCHIVE" ]; then
			echo "Found flag but not server tar - server transfer failed"
			fail 31
		fi
		rm "$AGENT_FOLDER/$ARCHIVE.done"
	fi
	tar -xzf "$AGENT_FOLDER/$ARCHIVE" -C "$AGENT_FOLDER" || fail 37
	rm "$AGENT_FOLDER/$ARCHIVE"
	mv "$AGENT_FOLDER/code" "$CLI_PATH"
else
	echo "Found existing installation at $AGENT_FOLDER..."
fi

echo "Starting VS Code CLI..."
rm -f "$CLI_LOG_FILE"
VSCODE_CLI_REQUIRE_TOKEN=$NEW_TOKEN "$CLI_PATH" command-shell --cli-data-dir "$AGENT_FOLDER/cli" --parent-process-id $$ --on-host=127.0.0.1 --on-port > "$CLI_LOG_FILE" 2>&1 < /dev/null &
CLI_PID=$!
echo "Spawned remote CLI: $CLI_PID"
count=0
while [ $count -lt 300 ]; do
	count=$((count + 1))
	LISTENING_ON=$(cat "$CLI_LOG_FILE" | grep -a -E 'Listening on .+' | grep -v grep | sed 's/Listening on //')
	if [ "$LISTENING_ON" != '' ]; then break; fi
	if ! kill -0 $CLI_PID > /dev/null; then
		echo "Exec server process not found"
		cat "$CLI_LOG_FILE"
		break
	fi
	echo "Waiting for server log..."
	sleep .03
done
if [ -z "$LISTENING_ON" ]; then fail 32; fi
print_results 0
while true; do sleep 180; printf ' '; done
