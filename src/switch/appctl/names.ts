import type { PortNames } from '../../flow/port-text.ts';
import type { NameMap } from '../../openflow/actions/index.ts';
import type { Ofproto } from '../ofproto/ofproto.ts';

/** A bridge's ports by name, for texts of matches. */
export function portNamesOf(ofproto: Ofproto): PortNames {
  return {
    nameOf: (port) => ofproto.port(port)?.name ?? null,
    numberOf: (name) => ofproto.portByName(name)?.ofPort ?? null,
  };
}

/** The same for texts of actions. */
export function actionPortNames(ofproto: Ofproto): NameMap {
  return portNamesOf(ofproto);
}
