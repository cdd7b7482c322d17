/** `weft doctor`. */
import { type CommandIo, EXIT } from '../../cli/command.ts';
import { parseArguments } from '../daemon/options.ts';
import { examine, formatFindings, type Probe } from './probe.ts';
import { PROBES } from './probes.ts';

const USAGE = `usage: weft doctor [--json]

Tries what Weft needs of this machine, by doing it in namespaces of its own, and says what is missing,
why, and what to do. Exits with 0 if a switch can run here, with 1 if not.

  --json  print the findings as one JSON array of {name, group, ok, reason, remedy}
`;

export async function run(
  args: readonly string[],
  io: CommandIo,
  probes: readonly Probe[] = PROBES,
): Promise<number> {
  const { options, positional } = parseArguments(args, [
    { name: 'json', value: 'none', help: 'print JSON' },
    { name: 'help', short: 'h', value: 'none', help: 'print the usage' },
  ]);
  if (positional.length > 0) {
    io.err(`weft doctor: takes no argument, but was given "${positional[0]}"\n`);
    return EXIT.usage;
  }
  if (options.some((o) => o.name === 'help')) {
    io.out(USAGE);
    return EXIT.ok;
  }
  const findings = await examine(probes);
  io.out(options.some((o) => o.name === 'json') ? `${JSON.stringify(findings)}\n` : formatFindings(findings));
  return findings.every((f) => f.ok || f.group !== 'switch') ? EXIT.ok : EXIT.failed;
}
