#!/usr/bin/env bash
# Everything a bare machine lacks: Debian libraries, virtual environment, pinned packages, robot model, mesh cache.
# usage: scripts/bootstrap.sh EXTRAS    (dev,hardware or dev,hardware,bench; run from anywhere). Safe to repeat; the
# Makefile skips it when nothing changed. With ROS 2 Jazzy sourced, its rclpy and messages are used and no ROS wheels are installed.
set -euo pipefail
cd "$(dirname "$0")/.."
EXTRA=${1:-dev,hardware}
VENV=${VENV:-.venv}
ROBOT_MODEL="mjlab==1.6.0"  # only its G1 files are wanted; its dependencies are not, hence --no-deps
TEST_ARMS="example-robot-data==6.0.0"  # URDFs of arms for the tests of arms with a ROS 2 driver; the same
TEST_CLIENT="openpi-client==0.1.2"  # asks our policy server in the tests; the same (it wants an older NumPy)
PIP_PIN="pip==26.3"         # older resolvers try hundreds of versions before they find ours
export PIP_DISABLE_PIP_VERSION_CHECK=1

fail() { echo "bootstrap: $*" >&2; exit 1; }

apt_install() {  # install Debian packages, or say the exact line and stop
    local line="apt-get install -y --no-install-recommends $*"
    if [ "$(id -u)" = 0 ]; then
        (apt-get update -q && DEBIAN_FRONTEND=noninteractive $line) >&2 || fail "could not install; run: $line"
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        (sudo apt-get update -q && sudo DEBIAN_FRONTEND=noninteractive $line) >&2 || fail "could not install; run: sudo $line"
    else
        fail "Debian packages are missing; run this, then start again:
  sudo apt-get update && sudo $line"
    fi
}

find_python() {
    local candidate
    for candidate in ${PYTHON:-} python3.12 python3.11 python3.10 python3; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; then
            echo "$candidate"; return
        fi
    done
    fail "no Python 3.10, 3.11 or 3.12 here; install one, or name it: make ${MAKECMDGOALS:-demo} PYTHON=/path/to/python3.11"
}

# 1. Libraries for drawing without a screen, and one that a wheel lacks. Asked of the loader, not of dpkg: other distributions have them too.
missing=()
has_library() { "$1" -c "import ctypes; ctypes.CDLL('$2')" 2>/dev/null; }
python=$(find_python)
has_library "$python" libEGL.so.1 || missing+=(libegl1)
has_library "$python" libOSMesa.so.8 || missing+=(libosmesa6)
has_library "$python" libGL.so.1 || missing+=(libgl1)
has_library "$python" libgomp.so.1 || missing+=(libgomp1)  # pinocchio's wheel takes it for granted
[[ ,$EXTRA, != *,hardware,* ]] || has_library "$python" libusb-1.0.so.0 || missing+=(libusb-1.0-0)  # pyrealsense2's wheel too
compgen -G "/usr/lib/*/dri/swrast_dri.so" >/dev/null || compgen -G "/usr/lib/*/libgallium*.so" >/dev/null \
    || missing+=(libgl1-mesa-dri)
"$python" -c "import venv, ensurepip" 2>/dev/null || missing+=("$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')")
[ ${#missing[@]} = 0 ] || apt_install "${missing[@]}"

# 2. The environment. One made by another Python, or half made, is made anew.
if ! "$VENV/bin/python" -m pip --version >/dev/null 2>&1; then
    rm -rf "$VENV"
    system=()
    [ "${ROS_DISTRO:-}" = jazzy ] && system=(--system-site-packages)
    "$python" -m venv "${system[@]}" "$VENV"
fi
LOG=build/setup.log
mkdir -p build; : > "$LOG"
pip() {  # what pip says goes to the log: a site's configuration may make it warn about every package
    "$VENV/bin/python" -m pip --no-input "$@" >> "$LOG" 2>&1 || { tail -n 15 "$LOG" >&2; fail "pip $1 failed; all of it: $LOG"; }
}
pip install "$PIP_PIN"

# 3. Packages. `-e` so that the clone is what runs.
if [ "${ROS_DISTRO:-}" = jazzy ]; then
    pip install --no-deps -e .
    "$VENV/bin/python" - "$EXTRA" <<'PY' | pip install -r /dev/stdin
import importlib.metadata, re, sys
for line in importlib.metadata.requires("retake"):
    extra = re.search(r"extra == ['\"](\w+)['\"]", line)
    if not line.startswith("ros-") and (extra is None or extra[1] in sys.argv[1].split(",")):
        print(re.sub(r"\s*(and\s*)?extra == ['\"]\w+['\"]", "", line).rstrip("; "))
PY
else
    pip install -e ".[$EXTRA]"
fi
pip install --no-deps "$ROBOT_MODEL" "$TEST_ARMS" "$TEST_CLIENT"

# 4. What is made once: the robot's decimated meshes, the controller's compiled functions.
"$VENV/bin/python" -c "from sim.assets import g1_visuals, yam_visuals; g1_visuals(); yam_visuals()"
"$VENV/bin/python" -c "from controllers.g1_controller import G1Controller; G1Controller()"
"$VENV/bin/python" -c "from controllers.arm_controller import compile_all; compile_all()"
"$VENV/bin/python" -c "import rclpy, mujoco, pinocchio, torch" || fail "the packages are installed but do not import; see above"
