
using namespace System.Management.Automation
using namespace System.Management.Automation.Language

Register-ArgumentCompleter -Native -CommandName 'rejoin' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

    $commandElements = $commandAst.CommandElements
    $command = @(
        'rejoin'
        for ($i = 1; $i -lt $commandElements.Count; $i++) {
            $element = $commandElements[$i]
            if ($element -isnot [StringConstantExpressionAst] -or
                $element.StringConstantType -ne [StringConstantType]::BareWord -or
                $element.Value.StartsWith('-') -or
                $element.Value -eq $wordToComplete) {
                break
        }
        $element.Value
    }) -join ';'

    $completions = @(switch ($command) {
        'rejoin' {
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('send', 'send', [CompletionResultType]::ParameterValue, 'Send files and directories')
            [CompletionResult]::new('tx', 'tx', [CompletionResultType]::ParameterValue, 'Send files and directories')
            [CompletionResult]::new('receive', 'receive', [CompletionResultType]::ParameterValue, 'Receive what another machine sends')
            [CompletionResult]::new('rx', 'rx', [CompletionResultType]::ParameterValue, 'Receive what another machine sends')
            [CompletionResult]::new('recv', 'recv', [CompletionResultType]::ParameterValue, 'Receive what another machine sends')
            [CompletionResult]::new('resume', 'resume', [CompletionResultType]::ParameterValue, 'Continue a stored session in its stored role')
            [CompletionResult]::new('sessions', 'sessions', [CompletionResultType]::ParameterValue, 'List, show, discard the sessions that this machine keeps')
            [CompletionResult]::new('stats', 'stats', [CompletionResultType]::ParameterValue, 'Show what recovery has done on this machine so far; nothing is sent anywhere')
            [CompletionResult]::new('host', 'host', [CompletionResultType]::ParameterValue, 'Be the host where senders and receivers meet')
            [CompletionResult]::new('demo', 'demo', [CompletionResultType]::ParameterValue, 'Show the main job on this machine, with real processes, in a few seconds')
            [CompletionResult]::new('completions', 'completions', [CompletionResultType]::ParameterValue, 'Print a completion script for a shell')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'rejoin;send' {
            [CompletionResult]::new('--code', '--code', [CompletionResultType]::ParameterName, 'Use this code instead of a fresh one')
            [CompletionResult]::new('--code-file', '--code-file', [CompletionResultType]::ParameterName, 'Read the code from a file (`-`: standard input)')
            [CompletionResult]::new('--code-out', '--code-out', [CompletionResultType]::ParameterName, 'Write the code to a file, readable by you only, as soon as it is known')
            [CompletionResult]::new('--words', '--words', [CompletionResultType]::ParameterName, 'Words in a fresh code')
            [CompletionResult]::new('--host', '--host', [CompletionResultType]::ParameterName, 'Host to meet at (ws:// or wss://); repeat to try several in order')
            [CompletionResult]::new('--stun', '--stun', [CompletionResultType]::ParameterName, 'STUN server (stun:HOST:PORT); repeatable, empty for none')
            [CompletionResult]::new('--turn', '--turn', [CompletionResultType]::ParameterName, 'TURN server (turn:HOST:PORT); repeatable. Credentials: REJOIN_TURN_USERNAME and REJOIN_TURN_PASSWORD, REJOIN_TURN_SECRET, or REJOIN_TURN_CREDENTIALS_COMMAND; never on the command line')
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Directory where sessions are stored')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'Give up after this long, whatever happens (exit code 124; progress is kept)')
            [CompletionResult]::new('--retry-for', '--retry-for', [CompletionResultType]::ParameterName, 'Look for a lost connection for this long')
            [CompletionResult]::new('--bwlimit', '--bwlimit', [CompletionResultType]::ParameterName, 'Send at most so many bytes a second (500k, 10M)')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Intervals and tries for a kind of network; the options below override it')
            [CompletionResult]::new('--ping-interval', '--ping-interval', [CompletionResultType]::ParameterName, 'Between two pings (1s to 5m) [default: 5s]')
            [CompletionResult]::new('--ping-misses', '--ping-misses', [CompletionResultType]::ParameterName, 'Pings without any sign of life after which the link is dead (1 to 100) [default: 3]')
            [CompletionResult]::new('--ice-grace', '--ice-grace', [CompletionResultType]::ParameterName, 'How long ICE may be disconnected before it is restarted (0 to 5m) [default: 5s; 10s on Windows]')
            [CompletionResult]::new('--ice-tries', '--ice-tries', [CompletionResultType]::ParameterName, 'ICE restarts in one connection, 0 for none (0 to 100) [default: 3]')
            [CompletionResult]::new('--ice-delay', '--ice-delay', [CompletionResultType]::ParameterName, 'Before the second ICE restart, doubled for each later one (100ms to 5m) [default: 5s]')
            [CompletionResult]::new('--reconnect-tries', '--reconnect-tries', [CompletionResultType]::ParameterName, 'Tries of a new connection before the slow pace begins (1 to 100) [default: 5]')
            [CompletionResult]::new('--reconnect-delay', '--reconnect-delay', [CompletionResultType]::ParameterName, 'Before the first of them, doubled for each later one (100ms to 5m) [default: 2s]')
            [CompletionResult]::new('--stall-timeout', '--stall-timeout', [CompletionResultType]::ParameterName, 'A new connection where nothing comes for this long although the link is there (1s to 1h) [default: 60s; a receiver that waits for content: 15s at most]')
            [CompletionResult]::new('--buffer-limit', '--buffer-limit', [CompletionResultType]::ParameterName, 'Bytes that may wait in the transport to be sent (64k to 64M) [default: 4M]')
            [CompletionResult]::new('--datagram-bytes', '--datagram-bytes', [CompletionResultType]::ParameterName, 'Largest UDP payload that is tried (1200 to 65000) [default: what the path takes]')
            [CompletionResult]::new('--log', '--log', [CompletionResultType]::ParameterName, 'What to log, by target: LEVEL or TARGET=LEVEL, with commas (rejoin::ice=debug); beats -v')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colours')
            [CompletionResult]::new('--progress', '--progress', [CompletionResultType]::ParameterName, 'How progress is shown')
            [CompletionResult]::new('--new', '--new', [CompletionResultType]::ParameterName, 'Start afresh, whatever unfinished session of these paths there is')
            [CompletionResult]::new('--direct-only', '--direct-only', [CompletionResultType]::ParameterName, 'Never go through a TURN server')
            [CompletionResult]::new('--relay-only', '--relay-only', [CompletionResultType]::ParameterName, 'Go through a TURN server only')
            [CompletionResult]::new('--no-confinement', '--no-confinement', [CompletionResultType]::ParameterName, 'Do not let the kernel (Landlock) close to this run what it does not need')
            [CompletionResult]::new('--plain', '--plain', [CompletionResultType]::ParameterName, 'Plain WebRTC packets, as browsers send them: slower, and no match for loss')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Print more; repeat for the log (-vv, -vvv)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Print more; repeat for the log (-vv, -vvv)')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print one JSON object a line on standard output')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'rejoin;tx' {
            [CompletionResult]::new('--code', '--code', [CompletionResultType]::ParameterName, 'Use this code instead of a fresh one')
            [CompletionResult]::new('--code-file', '--code-file', [CompletionResultType]::ParameterName, 'Read the code from a file (`-`: standard input)')
            [CompletionResult]::new('--code-out', '--code-out', [CompletionResultType]::ParameterName, 'Write the code to a file, readable by you only, as soon as it is known')
            [CompletionResult]::new('--words', '--words', [CompletionResultType]::ParameterName, 'Words in a fresh code')
            [CompletionResult]::new('--host', '--host', [CompletionResultType]::ParameterName, 'Host to meet at (ws:// or wss://); repeat to try several in order')
            [CompletionResult]::new('--stun', '--stun', [CompletionResultType]::ParameterName, 'STUN server (stun:HOST:PORT); repeatable, empty for none')
            [CompletionResult]::new('--turn', '--turn', [CompletionResultType]::ParameterName, 'TURN server (turn:HOST:PORT); repeatable. Credentials: REJOIN_TURN_USERNAME and REJOIN_TURN_PASSWORD, REJOIN_TURN_SECRET, or REJOIN_TURN_CREDENTIALS_COMMAND; never on the command line')
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Directory where sessions are stored')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'Give up after this long, whatever happens (exit code 124; progress is kept)')
            [CompletionResult]::new('--retry-for', '--retry-for', [CompletionResultType]::ParameterName, 'Look for a lost connection for this long')
            [CompletionResult]::new('--bwlimit', '--bwlimit', [CompletionResultType]::ParameterName, 'Send at most so many bytes a second (500k, 10M)')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Intervals and tries for a kind of network; the options below override it')
            [CompletionResult]::new('--ping-interval', '--ping-interval', [CompletionResultType]::ParameterName, 'Between two pings (1s to 5m) [default: 5s]')
            [CompletionResult]::new('--ping-misses', '--ping-misses', [CompletionResultType]::ParameterName, 'Pings without any sign of life after which the link is dead (1 to 100) [default: 3]')
            [CompletionResult]::new('--ice-grace', '--ice-grace', [CompletionResultType]::ParameterName, 'How long ICE may be disconnected before it is restarted (0 to 5m) [default: 5s; 10s on Windows]')
            [CompletionResult]::new('--ice-tries', '--ice-tries', [CompletionResultType]::ParameterName, 'ICE restarts in one connection, 0 for none (0 to 100) [default: 3]')
            [CompletionResult]::new('--ice-delay', '--ice-delay', [CompletionResultType]::ParameterName, 'Before the second ICE restart, doubled for each later one (100ms to 5m) [default: 5s]')
            [CompletionResult]::new('--reconnect-tries', '--reconnect-tries', [CompletionResultType]::ParameterName, 'Tries of a new connection before the slow pace begins (1 to 100) [default: 5]')
            [CompletionResult]::new('--reconnect-delay', '--reconnect-delay', [CompletionResultType]::ParameterName, 'Before the first of them, doubled for each later one (100ms to 5m) [default: 2s]')
            [CompletionResult]::new('--stall-timeout', '--stall-timeout', [CompletionResultType]::ParameterName, 'A new connection where nothing comes for this long although the link is there (1s to 1h) [default: 60s; a receiver that waits for content: 15s at most]')
            [CompletionResult]::new('--buffer-limit', '--buffer-limit', [CompletionResultType]::ParameterName, 'Bytes that may wait in the transport to be sent (64k to 64M) [default: 4M]')
            [CompletionResult]::new('--datagram-bytes', '--datagram-bytes', [CompletionResultType]::ParameterName, 'Largest UDP payload that is tried (1200 to 65000) [default: what the path takes]')
            [CompletionResult]::new('--log', '--log', [CompletionResultType]::ParameterName, 'What to log, by target: LEVEL or TARGET=LEVEL, with commas (rejoin::ice=debug); beats -v')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colours')
            [CompletionResult]::new('--progress', '--progress', [CompletionResultType]::ParameterName, 'How progress is shown')
            [CompletionResult]::new('--new', '--new', [CompletionResultType]::ParameterName, 'Start afresh, whatever unfinished session of these paths there is')
            [CompletionResult]::new('--direct-only', '--direct-only', [CompletionResultType]::ParameterName, 'Never go through a TURN server')
            [CompletionResult]::new('--relay-only', '--relay-only', [CompletionResultType]::ParameterName, 'Go through a TURN server only')
            [CompletionResult]::new('--no-confinement', '--no-confinement', [CompletionResultType]::ParameterName, 'Do not let the kernel (Landlock) close to this run what it does not need')
            [CompletionResult]::new('--plain', '--plain', [CompletionResultType]::ParameterName, 'Plain WebRTC packets, as browsers send them: slower, and no match for loss')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Print more; repeat for the log (-vv, -vvv)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Print more; repeat for the log (-vv, -vvv)')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print one JSON object a line on standard output')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'rejoin;receive' {
            [CompletionResult]::new('--code-file', '--code-file', [CompletionResultType]::ParameterName, 'Read the code from a file (`-`: standard input)')
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'Directory to receive into')
            [CompletionResult]::new('--out', '--out', [CompletionResultType]::ParameterName, 'Directory to receive into')
            [CompletionResult]::new('--on-conflict', '--on-conflict', [CompletionResultType]::ParameterName, 'What to do about an existing file that differs [default: ask on a terminal without -y, else fail]')
            [CompletionResult]::new('--max-size', '--max-size', [CompletionResultType]::ParameterName, 'Refuse more bytes than this; a directory counts 4 KiB, beyond the first 64')
            [CompletionResult]::new('--max-files', '--max-files', [CompletionResultType]::ParameterName, 'Refuse more files, or more directories, than this')
            [CompletionResult]::new('--wait', '--wait', [CompletionResultType]::ParameterName, 'Wait this long for a sender that is not there yet')
            [CompletionResult]::new('--host', '--host', [CompletionResultType]::ParameterName, 'Host to meet at (ws:// or wss://); repeat to try several in order')
            [CompletionResult]::new('--stun', '--stun', [CompletionResultType]::ParameterName, 'STUN server (stun:HOST:PORT); repeatable, empty for none')
            [CompletionResult]::new('--turn', '--turn', [CompletionResultType]::ParameterName, 'TURN server (turn:HOST:PORT); repeatable. Credentials: REJOIN_TURN_USERNAME and REJOIN_TURN_PASSWORD, REJOIN_TURN_SECRET, or REJOIN_TURN_CREDENTIALS_COMMAND; never on the command line')
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Directory where sessions are stored')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'Give up after this long, whatever happens (exit code 124; progress is kept)')
            [CompletionResult]::new('--retry-for', '--retry-for', [CompletionResultType]::ParameterName, 'Look for a lost connection for this long')
            [CompletionResult]::new('--bwlimit', '--bwlimit', [CompletionResultType]::ParameterName, 'Send at most so many bytes a second (500k, 10M)')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Intervals and tries for a kind of network; the options below override it')
            [CompletionResult]::new('--ping-interval', '--ping-interval', [CompletionResultType]::ParameterName, 'Between two pings (1s to 5m) [default: 5s]')
            [CompletionResult]::new('--ping-misses', '--ping-misses', [CompletionResultType]::ParameterName, 'Pings without any sign of life after which the link is dead (1 to 100) [default: 3]')
            [CompletionResult]::new('--ice-grace', '--ice-grace', [CompletionResultType]::ParameterName, 'How long ICE may be disconnected before it is restarted (0 to 5m) [default: 5s; 10s on Windows]')
            [CompletionResult]::new('--ice-tries', '--ice-tries', [CompletionResultType]::ParameterName, 'ICE restarts in one connection, 0 for none (0 to 100) [default: 3]')
            [CompletionResult]::new('--ice-delay', '--ice-delay', [CompletionResultType]::ParameterName, 'Before the second ICE restart, doubled for each later one (100ms to 5m) [default: 5s]')
            [CompletionResult]::new('--reconnect-tries', '--reconnect-tries', [CompletionResultType]::ParameterName, 'Tries of a new connection before the slow pace begins (1 to 100) [default: 5]')
            [CompletionResult]::new('--reconnect-delay', '--reconnect-delay', [CompletionResultType]::ParameterName, 'Before the first of them, doubled for each later one (100ms to 5m) [default: 2s]')
            [CompletionResult]::new('--stall-timeout', '--stall-timeout', [CompletionResultType]::ParameterName, 'A new connection where nothing comes for this long although the link is there (1s to 1h) [default: 60s; a receiver that waits for content: 15s at most]')
            [CompletionResult]::new('--buffer-limit', '--buffer-limit', [CompletionResultType]::ParameterName, 'Bytes that may wait in the transport to be sent (64k to 64M) [default: 4M]')
            [CompletionResult]::new('--datagram-bytes', '--datagram-bytes', [CompletionResultType]::ParameterName, 'Largest UDP payload that is tried (1200 to 65000) [default: what the path takes]')
            [CompletionResult]::new('--log', '--log', [CompletionResultType]::ParameterName, 'What to log, by target: LEVEL or TARGET=LEVEL, with commas (rejoin::ice=debug); beats -v')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colours')
            [CompletionResult]::new('--progress', '--progress', [CompletionResultType]::ParameterName, 'How progress is shown')
            [CompletionResult]::new('-y', '-y', [CompletionResultType]::ParameterName, 'Accept without asking; existing files that differ stay, see --on-conflict')
            [CompletionResult]::new('--yes', '--yes', [CompletionResultType]::ParameterName, 'Accept without asking; existing files that differ stay, see --on-conflict')
            [CompletionResult]::new('--overwrite', '--overwrite', [CompletionResultType]::ParameterName, 'Short for --on-conflict overwrite')
            [CompletionResult]::new('--checksum', '--checksum', [CompletionResultType]::ParameterName, 'Compare existing files by content, not by size and modification time')
            [CompletionResult]::new('--follow-target', '--follow-target', [CompletionResultType]::ParameterName, 'Follow a symlink inside the target where a directory is expected, instead of a conflict')
            [CompletionResult]::new('--direct-only', '--direct-only', [CompletionResultType]::ParameterName, 'Never go through a TURN server')
            [CompletionResult]::new('--relay-only', '--relay-only', [CompletionResultType]::ParameterName, 'Go through a TURN server only')
            [CompletionResult]::new('--no-confinement', '--no-confinement', [CompletionResultType]::ParameterName, 'Do not let the kernel (Landlock) close to this run what it does not need')
            [CompletionResult]::new('--plain', '--plain', [CompletionResultType]::ParameterName, 'Plain WebRTC packets, as browsers send them: slower, and no match for loss')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Print more; repeat for the log (-vv, -vvv)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Print more; repeat for the log (-vv, -vvv)')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print one JSON object a line on standard output')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'rejoin;rx' {
            [CompletionResult]::new('--code-file', '--code-file', [CompletionResultType]::ParameterName, 'Read the code from a file (`-`: standard input)')
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'Directory to receive into')
            [CompletionResult]::new('--out', '--out', [CompletionResultType]::ParameterName, 'Directory to receive into')
            [CompletionResult]::new('--on-conflict', '--on-conflict', [CompletionResultType]::ParameterName, 'What to do about an existing file that differs [default: ask on a terminal without -y, else fail]')
            [CompletionResult]::new('--max-size', '--max-size', [CompletionResultType]::ParameterName, 'Refuse more bytes than this; a directory counts 4 KiB, beyond the first 64')
            [CompletionResult]::new('--max-files', '--max-files', [CompletionResultType]::ParameterName, 'Refuse more files, or more directories, than this')
            [CompletionResult]::new('--wait', '--wait', [CompletionResultType]::ParameterName, 'Wait this long for a sender that is not there yet')
            [CompletionResult]::new('--host', '--host', [CompletionResultType]::ParameterName, 'Host to meet at (ws:// or wss://); repeat to try several in order')
            [CompletionResult]::new('--stun', '--stun', [CompletionResultType]::ParameterName, 'STUN server (stun:HOST:PORT); repeatable, empty for none')
            [CompletionResult]::new('--turn', '--turn', [CompletionResultType]::ParameterName, 'TURN server (turn:HOST:PORT); repeatable. Credentials: REJOIN_TURN_USERNAME and REJOIN_TURN_PASSWORD, REJOIN_TURN_SECRET, or REJOIN_TURN_CREDENTIALS_COMMAND; never on the command line')
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Directory where sessions are stored')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'Give up after this long, whatever happens (exit code 124; progress is kept)')
            [CompletionResult]::new('--retry-for', '--retry-for', [CompletionResultType]::ParameterName, 'Look for a lost connection for this long')
            [CompletionResult]::new('--bwlimit', '--bwlimit', [CompletionResultType]::ParameterName, 'Send at most so many bytes a second (500k, 10M)')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Intervals and tries for a kind of network; the options below override it')
            [CompletionResult]::new('--ping-interval', '--ping-interval', [CompletionResultType]::ParameterName, 'Between two pings (1s to 5m) [default: 5s]')
            [CompletionResult]::new('--ping-misses', '--ping-misses', [CompletionResultType]::ParameterName, 'Pings without any sign of life after which the link is dead (1 to 100) [default: 3]')
            [CompletionResult]::new('--ice-grace', '--ice-grace', [CompletionResultType]::ParameterName, 'How long ICE may be disconnected before it is restarted (0 to 5m) [default: 5s; 10s on Windows]')
            [CompletionResult]::new('--ice-tries', '--ice-tries', [CompletionResultType]::ParameterName, 'ICE restarts in one connection, 0 for none (0 to 100) [default: 3]')
            [CompletionResult]::new('--ice-delay', '--ice-delay', [CompletionResultType]::ParameterName, 'Before the second ICE restart, doubled for each later one (100ms to 5m) [default: 5s]')
            [CompletionResult]::new('--reconnect-tries', '--reconnect-tries', [CompletionResultType]::ParameterName, 'Tries of a new connection before the slow pace begins (1 to 100) [default: 5]')
            [CompletionResult]::new('--reconnect-delay', '--reconnect-delay', [CompletionResultType]::ParameterName, 'Before the first of them, doubled for each later one (100ms to 5m) [default: 2s]')
            [CompletionResult]::new('--stall-timeout', '--stall-timeout', [CompletionResultType]::ParameterName, 'A new connection where nothing comes for this long although the link is there (1s to 1h) [default: 60s; a receiver that waits for content: 15s at most]')
            [CompletionResult]::new('--buffer-limit', '--buffer-limit', [CompletionResultType]::ParameterName, 'Bytes that may wait in the transport to be sent (64k to 64M) [default: 4M]')
            [CompletionResult]::new('--datagram-bytes', '--datagram-bytes', [CompletionResultType]::ParameterName, 'Largest UDP payload that is tried (1200 to 65000) [default: what the path takes]')
            [CompletionResult]::new('--log', '--log', [CompletionResultType]::ParameterName, 'What to log, by target: LEVEL or TARGET=LEVEL, with commas (rejoin::ice=debug); beats -v')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colours')
            [CompletionResult]::new('--progress', '--progress', [CompletionResultType]::ParameterName, 'How progress is shown')
            [CompletionResult]::new('-y', '-y', [CompletionResultType]::ParameterName, 'Accept without asking; existing files that differ stay, see --on-conflict')
            [CompletionResult]::new('--yes', '--yes', [CompletionResultType]::ParameterName, 'Accept without asking; existing files that differ stay, see --on-conflict')
            [CompletionResult]::new('--overwrite', '--overwrite', [CompletionResultType]::ParameterName, 'Short for --on-conflict overwrite')
            [CompletionResult]::new('--checksum', '--checksum', [CompletionResultType]::ParameterName, 'Compare existing files by content, not by size and modification time')
            [CompletionResult]::new('--follow-target', '--follow-target', [CompletionResultType]::ParameterName, 'Follow a symlink inside the target where a directory is expected, instead of a conflict')
            [CompletionResult]::new('--direct-only', '--direct-only', [CompletionResultType]::ParameterName, 'Never go through a TURN server')
            [CompletionResult]::new('--relay-only', '--relay-only', [CompletionResultType]::ParameterName, 'Go through a TURN server only')
            [CompletionResult]::new('--no-confinement', '--no-confinement', [CompletionResultType]::ParameterName, 'Do not let the kernel (Landlock) close to this run what it does not need')
            [CompletionResult]::new('--plain', '--plain', [CompletionResultType]::ParameterName, 'Plain WebRTC packets, as browsers send them: slower, and no match for loss')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Print more; repeat for the log (-vv, -vvv)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Print more; repeat for the log (-vv, -vvv)')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print one JSON object a line on standard output')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'rejoin;recv' {
            [CompletionResult]::new('--code-file', '--code-file', [CompletionResultType]::ParameterName, 'Read the code from a file (`-`: standard input)')
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'Directory to receive into')
            [CompletionResult]::new('--out', '--out', [CompletionResultType]::ParameterName, 'Directory to receive into')
            [CompletionResult]::new('--on-conflict', '--on-conflict', [CompletionResultType]::ParameterName, 'What to do about an existing file that differs [default: ask on a terminal without -y, else fail]')
            [CompletionResult]::new('--max-size', '--max-size', [CompletionResultType]::ParameterName, 'Refuse more bytes than this; a directory counts 4 KiB, beyond the first 64')
            [CompletionResult]::new('--max-files', '--max-files', [CompletionResultType]::ParameterName, 'Refuse more files, or more directories, than this')
            [CompletionResult]::new('--wait', '--wait', [CompletionResultType]::ParameterName, 'Wait this long for a sender that is not there yet')
            [CompletionResult]::new('--host', '--host', [CompletionResultType]::ParameterName, 'Host to meet at (ws:// or wss://); repeat to try several in order')
            [CompletionResult]::new('--stun', '--stun', [CompletionResultType]::ParameterName, 'STUN server (stun:HOST:PORT); repeatable, empty for none')
            [CompletionResult]::new('--turn', '--turn', [CompletionResultType]::ParameterName, 'TURN server (turn:HOST:PORT); repeatable. Credentials: REJOIN_TURN_USERNAME and REJOIN_TURN_PASSWORD, REJOIN_TURN_SECRET, or REJOIN_TURN_CREDENTIALS_COMMAND; never on the command line')
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Directory where sessions are stored')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'Give up after this long, whatever happens (exit code 124; progress is kept)')
            [CompletionResult]::new('--retry-for', '--retry-for', [CompletionResultType]::ParameterName, 'Look for a lost connection for this long')
            [CompletionResult]::new('--bwlimit', '--bwlimit', [CompletionResultType]::ParameterName, 'Send at most so many bytes a second (500k, 10M)')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Intervals and tries for a kind of network; the options below override it')
            [CompletionResult]::new('--ping-interval', '--ping-interval', [CompletionResultType]::ParameterName, 'Between two pings (1s to 5m) [default: 5s]')
            [CompletionResult]::new('--ping-misses', '--ping-misses', [CompletionResultType]::ParameterName, 'Pings without any sign of life after which the link is dead (1 to 100) [default: 3]')
            [CompletionResult]::new('--ice-grace', '--ice-grace', [CompletionResultType]::ParameterName, 'How long ICE may be disconnected before it is restarted (0 to 5m) [default: 5s; 10s on Windows]')
            [CompletionResult]::new('--ice-tries', '--ice-tries', [CompletionResultType]::ParameterName, 'ICE restarts in one connection, 0 for none (0 to 100) [default: 3]')
            [CompletionResult]::new('--ice-delay', '--ice-delay', [CompletionResultType]::ParameterName, 'Before the second ICE restart, doubled for each later one (100ms to 5m) [default: 5s]')
            [CompletionResult]::new('--reconnect-tries', '--reconnect-tries', [CompletionResultType]::ParameterName, 'Tries of a new connection before the slow pace begins (1 to 100) [default: 5]')
            [CompletionResult]::new('--reconnect-delay', '--reconnect-delay', [CompletionResultType]::ParameterName, 'Before the first of them, doubled for each later one (100ms to 5m) [default: 2s]')
            [CompletionResult]::new('--stall-timeout', '--stall-timeout', [CompletionResultType]::ParameterName, 'A new connection where nothing comes for this long although the link is there (1s to 1h) [default: 60s; a receiver that waits for content: 15s at most]')
            [CompletionResult]::new('--buffer-limit', '--buffer-limit', [CompletionResultType]::ParameterName, 'Bytes that may wait in the transport to be sent (64k to 64M) [default: 4M]')
            [CompletionResult]::new('--datagram-bytes', '--datagram-bytes', [CompletionResultType]::ParameterName, 'Largest UDP payload that is tried (1200 to 65000) [default: what the path takes]')
            [CompletionResult]::new('--log', '--log', [CompletionResultType]::ParameterName, 'What to log, by target: LEVEL or TARGET=LEVEL, with commas (rejoin::ice=debug); beats -v')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colours')
            [CompletionResult]::new('--progress', '--progress', [CompletionResultType]::ParameterName, 'How progress is shown')
            [CompletionResult]::new('-y', '-y', [CompletionResultType]::ParameterName, 'Accept without asking; existing files that differ stay, see --on-conflict')
            [CompletionResult]::new('--yes', '--yes', [CompletionResultType]::ParameterName, 'Accept without asking; existing files that differ stay, see --on-conflict')
            [CompletionResult]::new('--overwrite', '--overwrite', [CompletionResultType]::ParameterName, 'Short for --on-conflict overwrite')
            [CompletionResult]::new('--checksum', '--checksum', [CompletionResultType]::ParameterName, 'Compare existing files by content, not by size and modification time')
            [CompletionResult]::new('--follow-target', '--follow-target', [CompletionResultType]::ParameterName, 'Follow a symlink inside the target where a directory is expected, instead of a conflict')
            [CompletionResult]::new('--direct-only', '--direct-only', [CompletionResultType]::ParameterName, 'Never go through a TURN server')
            [CompletionResult]::new('--relay-only', '--relay-only', [CompletionResultType]::ParameterName, 'Go through a TURN server only')
            [CompletionResult]::new('--no-confinement', '--no-confinement', [CompletionResultType]::ParameterName, 'Do not let the kernel (Landlock) close to this run what it does not need')
            [CompletionResult]::new('--plain', '--plain', [CompletionResultType]::ParameterName, 'Plain WebRTC packets, as browsers send them: slower, and no match for loss')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Print more; repeat for the log (-vv, -vvv)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Print more; repeat for the log (-vv, -vvv)')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print one JSON object a line on standard output')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'rejoin;resume' {
            [CompletionResult]::new('--on-conflict', '--on-conflict', [CompletionResultType]::ParameterName, 'What to do about an existing file that differs [default: ask on a terminal without -y, else fail]')
            [CompletionResult]::new('--host', '--host', [CompletionResultType]::ParameterName, 'Host to meet at (ws:// or wss://); repeat to try several in order')
            [CompletionResult]::new('--stun', '--stun', [CompletionResultType]::ParameterName, 'STUN server (stun:HOST:PORT); repeatable, empty for none')
            [CompletionResult]::new('--turn', '--turn', [CompletionResultType]::ParameterName, 'TURN server (turn:HOST:PORT); repeatable. Credentials: REJOIN_TURN_USERNAME and REJOIN_TURN_PASSWORD, REJOIN_TURN_SECRET, or REJOIN_TURN_CREDENTIALS_COMMAND; never on the command line')
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Directory where sessions are stored')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'Give up after this long, whatever happens (exit code 124; progress is kept)')
            [CompletionResult]::new('--retry-for', '--retry-for', [CompletionResultType]::ParameterName, 'Look for a lost connection for this long')
            [CompletionResult]::new('--bwlimit', '--bwlimit', [CompletionResultType]::ParameterName, 'Send at most so many bytes a second (500k, 10M)')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Intervals and tries for a kind of network; the options below override it')
            [CompletionResult]::new('--ping-interval', '--ping-interval', [CompletionResultType]::ParameterName, 'Between two pings (1s to 5m) [default: 5s]')
            [CompletionResult]::new('--ping-misses', '--ping-misses', [CompletionResultType]::ParameterName, 'Pings without any sign of life after which the link is dead (1 to 100) [default: 3]')
            [CompletionResult]::new('--ice-grace', '--ice-grace', [CompletionResultType]::ParameterName, 'How long ICE may be disconnected before it is restarted (0 to 5m) [default: 5s; 10s on Windows]')
            [CompletionResult]::new('--ice-tries', '--ice-tries', [CompletionResultType]::ParameterName, 'ICE restarts in one connection, 0 for none (0 to 100) [default: 3]')
            [CompletionResult]::new('--ice-delay', '--ice-delay', [CompletionResultType]::ParameterName, 'Before the second ICE restart, doubled for each later one (100ms to 5m) [default: 5s]')
            [CompletionResult]::new('--reconnect-tries', '--reconnect-tries', [CompletionResultType]::ParameterName, 'Tries of a new connection before the slow pace begins (1 to 100) [default: 5]')
            [CompletionResult]::new('--reconnect-delay', '--reconnect-delay', [CompletionResultType]::ParameterName, 'Before the first of them, doubled for each later one (100ms to 5m) [default: 2s]')
            [CompletionResult]::new('--stall-timeout', '--stall-timeout', [CompletionResultType]::ParameterName, 'A new connection where nothing comes for this long although the link is there (1s to 1h) [default: 60s; a receiver that waits for content: 15s at most]')
            [CompletionResult]::new('--buffer-limit', '--buffer-limit', [CompletionResultType]::ParameterName, 'Bytes that may wait in the transport to be sent (64k to 64M) [default: 4M]')
            [CompletionResult]::new('--datagram-bytes', '--datagram-bytes', [CompletionResultType]::ParameterName, 'Largest UDP payload that is tried (1200 to 65000) [default: what the path takes]')
            [CompletionResult]::new('--log', '--log', [CompletionResultType]::ParameterName, 'What to log, by target: LEVEL or TARGET=LEVEL, with commas (rejoin::ice=debug); beats -v')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colours')
            [CompletionResult]::new('--progress', '--progress', [CompletionResultType]::ParameterName, 'How progress is shown')
            [CompletionResult]::new('-y', '-y', [CompletionResultType]::ParameterName, 'Accept without asking; existing files that differ stay untouched')
            [CompletionResult]::new('--yes', '--yes', [CompletionResultType]::ParameterName, 'Accept without asking; existing files that differ stay untouched')
            [CompletionResult]::new('--overwrite', '--overwrite', [CompletionResultType]::ParameterName, 'Short for --on-conflict overwrite')
            [CompletionResult]::new('--checksum', '--checksum', [CompletionResultType]::ParameterName, 'Compare existing files by content, not by size and modification time')
            [CompletionResult]::new('--follow-target', '--follow-target', [CompletionResultType]::ParameterName, 'Follow a symlink inside the target where a directory is expected, instead of a conflict')
            [CompletionResult]::new('--direct-only', '--direct-only', [CompletionResultType]::ParameterName, 'Never go through a TURN server')
            [CompletionResult]::new('--relay-only', '--relay-only', [CompletionResultType]::ParameterName, 'Go through a TURN server only')
            [CompletionResult]::new('--no-confinement', '--no-confinement', [CompletionResultType]::ParameterName, 'Do not let the kernel (Landlock) close to this run what it does not need')
            [CompletionResult]::new('--plain', '--plain', [CompletionResultType]::ParameterName, 'Plain WebRTC packets, as browsers send them: slower, and no match for loss')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Print more; repeat for the log (-vv, -vvv)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Print more; repeat for the log (-vv, -vvv)')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print one JSON object a line on standard output')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'rejoin;sessions' {
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the stored sessions, the newest first')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Show one session')
            [CompletionResult]::new('discard', 'discard', [CompletionResultType]::ParameterValue, 'Forget a session, and remove its partial files; what is complete stays')
            [CompletionResult]::new('prune', 'prune', [CompletionResultType]::ParameterValue, 'Discard what nobody used for seven days')
            [CompletionResult]::new('invite', 'invite', [CompletionResultType]::ParameterValue, 'Print a one-time code for a receiver that lost its session')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'rejoin;sessions;list' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Directory where sessions are stored')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'One JSON object a line')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'rejoin;sessions;show' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Directory where sessions are stored')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'One JSON object a line')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'rejoin;sessions;discard' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Directory where sessions are stored')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'One JSON object a line')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'rejoin;sessions;prune' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Directory where sessions are stored')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'One JSON object a line')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'rejoin;sessions;invite' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Directory where sessions are stored')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'One JSON object a line')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'rejoin;sessions;help' {
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the stored sessions, the newest first')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Show one session')
            [CompletionResult]::new('discard', 'discard', [CompletionResultType]::ParameterValue, 'Forget a session, and remove its partial files; what is complete stays')
            [CompletionResult]::new('prune', 'prune', [CompletionResultType]::ParameterValue, 'Discard what nobody used for seven days')
            [CompletionResult]::new('invite', 'invite', [CompletionResultType]::ParameterValue, 'Print a one-time code for a receiver that lost its session')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'rejoin;sessions;help;list' {
            break
        }
        'rejoin;sessions;help;show' {
            break
        }
        'rejoin;sessions;help;discard' {
            break
        }
        'rejoin;sessions;help;prune' {
            break
        }
        'rejoin;sessions;help;invite' {
            break
        }
        'rejoin;sessions;help;help' {
            break
        }
        'rejoin;stats' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Directory where sessions are stored')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'One JSON object')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'rejoin;host' {
            [CompletionResult]::new('--listen', '--listen', [CompletionResultType]::ParameterName, 'Address and port to listen on (port 0: a free one)')
            [CompletionResult]::new('--public-url', '--public-url', [CompletionResultType]::ParameterName, 'What members connect to, where that is another address')
            [CompletionResult]::new('--max-rooms', '--max-rooms', [CompletionResultType]::ParameterName, 'Rooms open at once')
            [CompletionResult]::new('--max-members', '--max-members', [CompletionResultType]::ParameterName, 'Members in a room')
            [CompletionResult]::new('--room-lease', '--room-lease', [CompletionResultType]::ParameterName, 'How long a room lives without its owner')
            [CompletionResult]::new('--log-format', '--log-format', [CompletionResultType]::ParameterName, 'How log lines look')
            [CompletionResult]::new('--log', '--log', [CompletionResultType]::ParameterName, 'What to log, by target: LEVEL or TARGET=LEVEL, with commas (rejoin::ice=debug); beats -v')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colours')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Print more; repeat for the log (-vv, -vvv)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Print more; repeat for the log (-vv, -vvv)')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'rejoin;demo' {
            [CompletionResult]::new('--log', '--log', [CompletionResultType]::ParameterName, 'What to log, by target: LEVEL or TARGET=LEVEL, with commas (rejoin::ice=debug); beats -v')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colours')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Print errors only')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Print more; repeat for the log (-vv, -vvv)')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Print more; repeat for the log (-vv, -vvv)')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'rejoin;completions' {
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'rejoin;help' {
            [CompletionResult]::new('send', 'send', [CompletionResultType]::ParameterValue, 'Send files and directories')
            [CompletionResult]::new('receive', 'receive', [CompletionResultType]::ParameterValue, 'Receive what another machine sends')
            [CompletionResult]::new('resume', 'resume', [CompletionResultType]::ParameterValue, 'Continue a stored session in its stored role')
            [CompletionResult]::new('sessions', 'sessions', [CompletionResultType]::ParameterValue, 'List, show, discard the sessions that this machine keeps')
            [CompletionResult]::new('stats', 'stats', [CompletionResultType]::ParameterValue, 'Show what recovery has done on this machine so far; nothing is sent anywhere')
            [CompletionResult]::new('host', 'host', [CompletionResultType]::ParameterValue, 'Be the host where senders and receivers meet')
            [CompletionResult]::new('demo', 'demo', [CompletionResultType]::ParameterValue, 'Show the main job on this machine, with real processes, in a few seconds')
            [CompletionResult]::new('completions', 'completions', [CompletionResultType]::ParameterValue, 'Print a completion script for a shell')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'rejoin;help;send' {
            break
        }
        'rejoin;help;receive' {
            break
        }
        'rejoin;help;resume' {
            break
        }
        'rejoin;help;sessions' {
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the stored sessions, the newest first')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Show one session')
            [CompletionResult]::new('discard', 'discard', [CompletionResultType]::ParameterValue, 'Forget a session, and remove its partial files; what is complete stays')
            [CompletionResult]::new('prune', 'prune', [CompletionResultType]::ParameterValue, 'Discard what nobody used for seven days')
            [CompletionResult]::new('invite', 'invite', [CompletionResultType]::ParameterValue, 'Print a one-time code for a receiver that lost its session')
            break
        }
        'rejoin;help;sessions;list' {
            break
        }
        'rejoin;help;sessions;show' {
            break
        }
        'rejoin;help;sessions;discard' {
            break
        }
        'rejoin;help;sessions;prune' {
            break
        }
        'rejoin;help;sessions;invite' {
            break
        }
        'rejoin;help;stats' {
            break
        }
        'rejoin;help;host' {
            break
        }
        'rejoin;help;demo' {
            break
        }
        'rejoin;help;completions' {
            break
        }
        'rejoin;help;help' {
            break
        }
    })

    $completions.Where{ $_.CompletionText -like "$wordToComplete*" } |
        Sort-Object -Property ListItemText
}
