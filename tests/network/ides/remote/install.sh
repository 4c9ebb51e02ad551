echo "$UUID: running"
echo "Script executing under PID: $$"

AGENT_FOLDER="$HOME/.vscode-server"
SERVER_DIR="$AGENT_FOLDER/bin/$COMMIT"
SERVER="$SERVER_DIR/bin/code-server"
LOG_FILE="$AGENT_FOLDER/.$COMMIT.log"
PID_FILE="$AGENT_FOLDER/.$COMMIT.pid"
TOKEN_FILE="$AGENT_FOLDER/.$COMMIT.token"
LISTENING_ON=
UNPACKED=
DID_LOCAL_DOWNLOAD=0

print_results() {
	echo "$UUID: start"
	echo "exitCode==$1=="
	echo "SSH_AUTH_SOCK==$SSH_AUTH_SOCK=="
	echo "DISPLAY==$DISPLAY=="
	echo "listeningOn==$LISTENING_ON=="
	echo "osReleaseId==$OS_RELEASE_ID=="
	echo "arch==$ARCH=="
	echo "platform==$PLATFORM=="
	echo "tmpDir==${XDG_RUNTIME_DIR:-/tmp}=="
	echo "unpackResult==$UNPACKED=="
	echo "didLocalDownload==$DID_LOCAL_DOWNLOAD=="
	echo "connectionToken==$TOKEN=="
	echo "$UUID: end"
}

fail() {
	print_results "$1"
	exit 0
}

(umask 077; mkdir -p "$SERVER_DIR") || fail 34

KERNEL="$(uname -s)"
ARCH="$(uname -m)"
case $KERNEL in
	Linux) PLATFORM=linux ;;
	Darwin) PLATFORM=darwin ;;
	*) fail 35 ;;
esac
OS_RELEASE_ID="$(grep -i '^ID=' /etc/os-release 2>/dev/null | sed 's/^ID=//gi' | sed 's/"//g')"
if [[ -z $OS_RELEASE_ID ]]; then
	OS_RELEASE_ID="$(grep -i '^ID=' /usr/lib/os-release 2>/dev/null | sed 's/^ID=//gi')"
fi
if [[ $OS_RELEASE_ID = alpine ]]; then PLATFORM=alpine; fi

echo "Acquiring lock on $SERVER_DIR/vscode-remote-lock.$COMMIT"
exec 9> "$SERVER_DIR/vscode-remote-lock.$COMMIT"
flock -w 30 9 || fail 24

if [[ ! -f $SERVER ]]; then
	if [[ -n "$(ls "$SERVER_DIR" | grep -v vscode-remote-lock)" ]]; then
		echo "Found half-installed server, removing it"
		find "$SERVER_DIR" -mindepth 1 ! -name 'vscode-remote-lock*' -delete
	fi
	echo "Installing to $SERVER_DIR..."
	cd "$SERVER_DIR" || fail 38
	if command -v wget > /dev/null 2>&1; then
		wget --tries=1 --connect-timeout=7 --dns-timeout=7 -nv -O vscode-server.tar.gz "$URL" || fail 25
	elif command -v curl > /dev/null 2>&1; then
		curl --connect-timeout 7 -L "$URL" --output vscode-server.tar.gz || fail 25
	else
		fail 26
	fi
	tar -xf vscode-server.tar.gz --strip-components 1 || fail 37
	rm vscode-server.tar.gz
	UNPACKED=success
else
	echo "Found existing installation at $SERVER_DIR..."
fi

echo "printenv:"
printenv | sed -e 's/^/    /'

echo "Checking $LOG_FILE and $PID_FILE for a running server"
RUNNING=0
if [[ -f $PID_FILE ]]; then
	SERVER_PID="$(cat "$PID_FILE")"
	echo "Looking for server with pid: $SERVER_PID"
	RUNNING="$(ps ax | grep "^ *$SERVER_PID " | grep "$SERVER" | grep -v grep | wc -l | tr -d '[:space:]')"
fi
if [[ $RUNNING == 0 ]]; then
	if [[ -f $LOG_FILE ]]; then
		echo "Removing old logfile at $LOG_FILE"
		rm "$LOG_FILE"
	fi
	(umask 077; echo "$NEW_TOKEN" > "$TOKEN_FILE")
	if [[ $LISTEN = socket ]]; then
		LISTEN_FLAG="--socket-path=$AGENT_FOLDER/$COMMIT.sock"
	else
		LISTEN_FLAG="--port=0"
	fi
	"$SERVER" --start-server --host=127.0.0.1 --accept-server-license-terms --enable-remote-auto-shutdown $LISTEN_FLAG --telemetry-level all --commit=$COMMIT --connection-token-file "$TOKEN_FILE" &> "$LOG_FILE" < /dev/null &
	echo $! > "$PID_FILE"
	echo "Spawned remote server: $!"
	stopTime=$((SECONDS+15))
	while (($SECONDS < $stopTime)); do
		LISTENING_ON="$(cat "$LOG_FILE" | grep -a -E 'Extension host agent listening on .+' | grep -v grep | sed 's/Extension host agent listening on //')"
		if [[ $LISTENING_ON != '' ]]; then break; fi
		echo "Waiting for server log..."
		sleep .03
	done
else
	echo "Found running server..."
	LISTENING_ON="$(cat "$LOG_FILE" | grep -a -E 'Extension host agent listening on .+' | sed 's/Extension host agent listening on //')"
fi
TOKEN="$(cat "$TOKEN_FILE")"
flock -u 9
if [[ -z $LISTENING_ON ]]; then fail 32; fi
print_results 0
while true; do sleep 180; printf ' '; done
