import { OFPP_NONE } from '../constants.ts';
import { type ActionCodec, nxForm, type ParseContext } from './codec.ts';
import {
  formatPort,
  keyValues,
  parsePort,
  parseU16,
  parseU32,
  portFrom16,
  portTo16,
  syntaxError,
} from './text.ts';
import type { SampleAction } from './types.ts';
import { type ActionBytes, refuse } from './wire.ts';

const NXAST_SAMPLE = 29;
const NXAST_SAMPLE2 = 38;
const NXAST_SAMPLE3 = 41;
/** By number. */
const DIRECTIONS: readonly SampleAction['direction'][] = ['default', 'ingress', 'egress'];

function parse(arg: string, { ports }: ParseContext): SampleAction {
  let a: SampleAction = {
    type: 'sample',
    probability: 0,
    collectorSet: 0,
    obsDomain: 0,
    obsPoint: 0,
    samplingPort: OFPP_NONE,
    direction: 'default',
  };
  for (const { key, value } of keyValues(arg)) {
    switch (key) {
      case 'probability': {
        const probability = parseU16(value, key);
        if (probability === 0) syntaxError(`invalid probability value "${value}"`);
        a = { ...a, probability };
        break;
      }
      case 'collector_set_id':
        a = { ...a, collectorSet: parseU32(value) };
        break;
      case 'obs_domain_id':
        a = { ...a, obsDomain: parseU32(value) };
        break;
      case 'obs_point_id':
        a = { ...a, obsPoint: parseU32(value) };
        break;
      case 'sampling_port':
        a = { ...a, samplingPort: parsePort(value, ports) ?? syntaxError(`${value}: unknown port`) };
        break;
      case 'ingress':
      case 'egress':
        a = { ...a, direction: key };
        break;
      default:
        syntaxError(`invalid key "${key}" in "sample" argument`);
    }
  }
  if (a.probability === 0) syntaxError('non-zero "probability" must be specified on sample');
  return a;
}

/** What all three forms begin with. */
function decode(b: ActionBytes, samplingPort: number, direction: SampleAction['direction']): SampleAction {
  const probability = b.u16(10);
  if (probability === 0) refuse('OFPBAC_BAD_ARGUMENT', 'sample with probability 0 samples nothing');
  const [collectorSet, obsDomain, obsPoint] = [b.u32(12), b.u32(16), b.u32(20)];
  return { type: 'sample', probability, collectorSet, obsDomain, obsPoint, samplingPort, direction };
}

/** `sample(probability=N,collector_set_id=N,...)`: some packets to IPFIX collectors. */
export const sample: ActionCodec<SampleAction> = {
  type: 'sample',
  name: 'sample',
  words: { sample: parse },
  format(a, { ports }) {
    const port = a.samplingPort === OFPP_NONE ? '' : `,sampling_port=${formatPort(a.samplingPort, ports)}`;
    const direction = a.direction === 'default' ? '' : `,${a.direction}`;
    return (
      `sample(probability=${a.probability},collector_set_id=${a.collectorSet},obs_domain_id=${a.obsDomain},` +
      `obs_point_id=${a.obsPoint}${port}${direction})`
    );
  },
  encode(a, out) {
    const three = a.wire === 3 || a.direction !== 'default';
    const two = a.wire === 2 || a.samplingPort !== OFPP_NONE;
    const start = out.nx(three ? NXAST_SAMPLE3 : two ? NXAST_SAMPLE2 : NXAST_SAMPLE);
    out.u16(a.probability);
    out.u32(a.collectorSet);
    out.u32(a.obsDomain);
    out.u32(a.obsPoint);
    if (three || two) {
      out.u16(portTo16(a.samplingPort));
      out.u8(DIRECTIONS.indexOf(a.direction));
    }
    out.end(start);
  },
  wire: [
    nxForm(NXAST_SAMPLE, 24, (b) => decode(b, OFPP_NONE, 'default')),
    nxForm(NXAST_SAMPLE2, 32, (b) => ({ ...decode(b, portFrom16(b.u16(24)), 'default'), wire: 2 })),
    nxForm(NXAST_SAMPLE3, 32, (b) => {
      b.expectZero(27, 32, 'NXBRC_MUST_BE_ZERO');
      const direction = DIRECTIONS[b.u8(26)];
      if (direction === undefined) refuse('OFPBAC_BAD_ARGUMENT', `unknown sample direction ${b.u8(26)}`);
      return { ...decode(b, portFrom16(b.u16(24)), direction), wire: 3 };
    }),
  ],
};
