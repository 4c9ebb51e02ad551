TMP_DIR="${XDG_RUNTIME_DIR:-$HOME}"
LOCKFILE="$TMP_DIR/server_install.lock"
DATA="$HOME/.vscodium-server"
LOG="$DATA/.$COMMIT.log"
SOCKET_LOG="$DATA/.$COMMIT.socket.log"
LISTENING_ON=

print_install_results_and_exit() {
	echo "$UUID: start"
	echo "exitCode==$1=="
	echo "listeningOn==$LISTENING_ON=="
	echo "socket==$DATA/$COMMIT.sock=="
	echo "logFile==$LOG=="
	echo "SSH_AUTH_SOCK==$SSH_AUTH_SOCK=="
	echo "$UUID: end"
	exit 0
}

exec {FD}<> "$LOCKFILE"
flock -x -w 30 $FD || print_install_results_and_exit 1
trap "flock -u $FD; trap - EXIT INT HUP; exit" EXIT INT HUP

if ! command -v uname; then print_install_results_and_exit 1; fi
mkdir -p "$DATA"
pushd "$DATA" > /dev/null || print_install_results_and_exit 1
printf '%s' "$PROGRAM" | base64 -d > main.py
popd > /dev/null || print_install_results_and_exit 1
"$PYTHON" -IS "$DATA/main.py" --start-server --port=0 --commit="$COMMIT" &> "$LOG" &
"$PYTHON" -IS "$DATA/main.py" --start-server --socket-path="$DATA/$COMMIT.sock" --commit="$COMMIT" &> "$SOCKET_LOG" &
for i in {1..700}; do
	LISTENING_ON="$(cat "$LOG" | grep -E 'Extension host agent listening on .+' | sed 's/Extension host agent listening on //')"
	if [[ -n $LISTENING_ON && -S $DATA/$COMMIT.sock ]]; then break; fi
	sleep 0.05
done
if [[ -z $LISTENING_ON ]]; then print_install_results_and_exit 1; fi
print_install_results_and_exit 0
