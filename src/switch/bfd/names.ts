/* Words for what BFD packets say in numbers, as Open vSwitch has them. */

const STATES = ['admin_down', 'down', 'init', 'up'];

const DIAGNOSTICS = [
  'No Diagnostic',
  'Control Detection Time Expired',
  'Echo Function Failed',
  'Neighbor Signaled Session Down',
  'Forwarding Plane Reset',
  'Path Down',
  'Concatenated Path Down',
  'Administratively Down',
  'Reverse Concatenated Path Down',
];

/** By rising bit: BFD_MULTIPOINT first. */
const FLAGS = ['multipoint', 'demand', 'auth', 'ctl', 'final', 'poll'];

export function stateText(state: number): string {
  return STATES[state] ?? 'invalid';
}

export function diagText(diagnostic: number): string {
  return DIAGNOSTICS[diagnostic] ?? 'Invalid Diagnostic';
}

export function flagsText(flags: number): string {
  if (flags === 0) return 'none';
  return FLAGS.filter((_, bit) => (flags & (1 << bit)) !== 0).join(' ');
}
