/** `weft`: finds the command and runs it. Add a command by adding a row. */
import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import { type CommandEntry, runCommand } from '../cli/command.ts';

/** A command of `weft net` that is at the top as well. */
const netCommand = (name: string, summary: string): CommandEntry => ({
  name,
  summary,
  async load() {
    const net = await import('../cli/net/command.ts');
    return { run: (args, io) => net.run([name, ...args], io) };
  },
});

const COMMANDS: readonly CommandEntry[] = [
  {
    name: 'switch',
    summary: "run one host's virtual switch, database and all",
    load: () => import('./weft-switch/command.ts'),
  },
  {
    name: 'agent',
    summary: 'keep the switch of this host as a controller says',
    load: () => import('./weft-agent/command.ts'),
  },
  {
    name: 'controller',
    summary: "run the network hypervisor: tenants' networks over many hosts",
    load: () => import('./weft-controller/command.ts'),
  },
  {
    name: 'lab',
    summary: 'build hosts and networks on this machine, and prove what they do',
    load: () => import('./weft-lab/command.ts'),
  },
  {
    name: 'net',
    summary: "make and show tenants' networks, through the controller's API",
    load: () => import('../cli/net/command.ts'),
  },
  netCommand('trace', 'follow a packet from one logical port to another, over all hosts'),
  netCommand('why', 'say what an object has become, or where a flow of a host comes from'),
  {
    name: 'db',
    summary: 'show, list, watch and compare databases of switches',
    load: () => import('./weft-db/command.ts'),
  },
  {
    name: 'doctor',
    summary: 'try what this machine can do, and say what to change',
    load: () => import('./doctor/command.ts'),
  },
  {
    name: 'nlog',
    summary: 'check, run, explain and profile nlog programs',
    load: () => import('../cli/nlog.ts'),
  },
];

interface PackageJson {
  version: string;
}

function version(json: boolean): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  const weft = (JSON.parse(text) as PackageJson).version;
  const facts = {
    weft,
    node: process.versions.node,
    platform: `${process.platform}-${process.arch}`,
    kernel: release(),
  };
  if (json) return `${JSON.stringify(facts)}\n`;
  return `weft ${facts.weft}\nnode ${facts.node} on ${facts.platform}, kernel ${facts.kernel}\n`;
}

// Whoever reads (head, a pager) may have enough; a lab goes on, and is ended by a signal.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  if (process.argv[2] !== 'lab') process.exit();
});

process.exitCode = await runCommand(
  COMMANDS,
  process.argv.slice(2),
  { out: (text) => void process.stdout.write(text), err: (text) => void process.stderr.write(text) },
  version,
);
