/**
 * `npm run man`: makes `man/reuseaddr.1` from the descriptions of the commands. With `--check` it
 * only reports whether the page is out of date.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { prepare } from './prepare.mjs';
import { root } from './step.mjs';

const page = join(root, 'man/reuseaddr.1');
const check = process.argv.includes('--check');
if (!check) await prepare();
const current = await manual();
if (check) {
  if (!existsSync(page) || readFileSync(page, 'utf8') !== current) {
    console.error('man/reuseaddr.1 is out of date: run `npm run man`');
    process.exitCode = 1;
  }
} else {
  mkdirSync(join(root, 'man'), { recursive: true });
  writeFileSync(page, current);
}

async function manual() {
  const { commands } = await import(join(root, 'dist/cli/commands.js'));
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const loaded = await Promise.all(Object.values(commands).map(async ({ load }) => (await load()).command));
  const sections = loaded.map(section).join('');
  return `.TH REUSEADDR 1 "" "reuseaddr ${version}" "User Commands"
.SH NAME
reuseaddr \\- hold, inspect and clean Unix domain sockets
.SH SYNOPSIS
.B reuseaddr
.I COMMAND
.RI [ OPTION \\&.\\|.\\|.]
.I ARGUMENT
\\&.\\|.\\|.
.SH DESCRIPTION
SO_REUSEADDR for Unix domain sockets: a server that crashed restarts at once on the same address,
and a second server cannot take the address from a live one. The process that holds the
.BR flock (2)
on the file
.IR ADDRESS .lock
owns the address. Leave the lock file in place.
.PP
An
.I ADDRESS
is a path, or on Linux an abstract name (@app); ./@app is a file.
.SH COMMANDS
${sections}.SH EXIT STATUS
.TP
.B 0
done
.TP
.B 1
failed; standard error says why
.TP
.B 2
wrong usage
.TP
.B 3
the address is in use; for
.BR inspect :
its state is not listening
.SH ENVIRONMENT
.TP
.B NO_COLOR
Switches colours off on a terminal.
.TP
.B NODE_DEBUG=reuseaddr
Prints why a start waits, is refused, or was not handed over.
.TP
.BR LISTEN_FDS ", " LISTEN_PID ", " LISTEN_FDNAMES ", " NOTIFY_SOCKET
Read by
.BR run
from its supervisor, and set for its program: sd_listen_fds(3), sd_notify(3).
.TP
.B REUSEADDR
The options of the preload in Node.js programs: off, or a list of wait, takeover, handover and rebind.
.TP
.B REUSEADDR_ADDON
The absolute path of the native addon to load.
.SH FILES
.TP
.IB ADDRESS .lock
The lock file. It stays: do not remove it.
.TP
.IB ADDRESS .handover
The socket on which a holder serves handovers.
.SH SEE ALSO
.BR flock (2),
.BR unix (7),
.BR sd_listen_fds (3),
.BR flock (1)
`;
}

function section(command) {
  const options = Object.entries(command.options).map(
    ([name, option]) => `.TP\n.B ${escape(spell(name, option))}\n${sentence(option.summary)}\n`,
  );
  const examples = command.examples.map(
    ([line, meaning]) =>
      `.PP\n${sentence(meaning)}${meaning.endsWith('?') ? '' : ':'}\n.PP\n.nf\n.RS\n${escape(line)}\n.RE\n.fi\n`,
  );
  return `.SS "reuseaddr ${escape(command.name)} [OPTION...] ${escape(command.operands)}"
${command.description
  .split(/\n\s*\n/)
  .map((text, index) => paragraph(text, index === 0))
  .join('')}${options.length === 0 ? '' : '.PP\nOptions:\n'}${options.join('')}${statuses(command)}${examples.join('')}`;
}

/**
 * Formats text, or a list: lines of two blanks, a term, at least two blanks more, and the meaning.
 */
function paragraph(text, isFirst) {
  const items = text.split('\n').map((line) => /^ {2}(\S+) {2,}(.*)$/.exec(line));
  if (items.every((item) => item !== null))
    return items.map(([, term, meaning]) => `.TP\n.B ${escape(term)}\n${sentence(meaning)}\n`).join('');
  return `${isFirst ? '' : '.PP\n'}${sentence(text.replaceAll(/\s+/g, ' ').trim())}\n`;
}

function statuses({ statuses: text }) {
  return text === undefined ? '' : `.PP\nExit status: ${escape(text.replaceAll(/\s+/g, ' '))}.\n`;
}

function spell(name, { short, value, valueIsOptional }) {
  const argument = value === undefined ? '' : valueIsOptional ? `[=${value}]` : `=${value}`;
  return `${short === undefined ? '' : `-${short}, `}--${name}${argument}`;
}

/** Troff takes a line that begins with a dot or a quote for a request. */
function sentence(text) {
  return escape(text).replace(/^[.']/, '\\&$&');
}

function escape(text) {
  return text.replaceAll('\\', '\\e').replaceAll('-', '\\-').replaceAll('…', '...').replaceAll('’', "'").replaceAll('→', '->');
}
