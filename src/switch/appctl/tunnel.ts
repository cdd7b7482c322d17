import { WeftError } from '../../base/errors.ts';
import type { Switch } from '../bridge/manager.ts';
import { tunnelLine } from '../tunnel/ports.ts';

/** `ofproto/list-tunnels`: every tunnel port, in the order in which they are looked at. */
export function listTunnels(vswitch: Switch): string {
  return [...vswitch.backers()].flatMap(({ slowPath }) => slowPath.tunnels.list().map(tunnelLine)).join('');
}

/** `tnl/ports/show [-v]`: the datapath's tunnel ports, and how many bridge ports share each. */
export function tunnelPortsShow(vswitch: Switch): string {
  let text = 'Listening ports:\n';
  for (const { slowPath } of vswitch.backers()) {
    for (const { name, dpPort, users } of slowPath.tunnels.shared()) {
      text += `${name} (${dpPort}) ref_cnt=${users}\n`;
    }
  }
  return text;
}

/**
 * `dpif/set-dp-features BRIDGE tnl_push_pop false`: that outer headers are made by the port, not by an
 * action, is how it always is here; scripts written for Open vSwitch's userspace datapath ask for it.
 */
export function setDatapathFeature(vswitch: Switch, [bridge, feature, value]: readonly string[]): string {
  if (vswitch.bridge(bridge ?? '') === undefined) throw new WeftError('no-such-bridge', 'no such bridge');
  if (feature !== 'tnl_push_pop' || value !== 'false') {
    throw new WeftError(
      'fixed-feature',
      `Can not enable features not supported by the datapath: ${feature}`,
      {
        remedy: 'only "tnl_push_pop false" is taken',
      },
    );
  }
  return '';
}
