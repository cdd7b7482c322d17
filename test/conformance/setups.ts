/**
 * Bridges to run tables on. Ports 1 to 5 of br0 are devices, 6 leads to br1 (whose port 1 leads back, 2
 * is a device).
 */
export const DEVICES = ['p1', 'p2', 'p3', 'p4', 'p5', 'q2'];

/** `key=value` settings of br0's ports, one row a setup. */
const PORT_SETTINGS: readonly (readonly string[])[] = [
  [],
  [
    'p2 tag=10',
    'p3 trunks=10,20',
    'p4 vlan_mode=native-untagged tag=20',
    'p5 vlan_mode=native-tagged tag=10 trunks=10,30',
  ],
  [
    'p1 vlan_mode=dot1q-tunnel tag=30 other_config:qinq-ethertype=802.1q',
    'p2 tag=20',
    'p3 other_config:priority-tags=always tag=10',
    'p4 protected=true',
    'p5 protected=true',
    'patch0 trunks=10,30',
  ],
  [
    'p2 tag=10 other_config:priority-tags=if-nonzero',
    'p3 vlan_mode=dot1q-tunnel tag=20 cvlans=10',
    'p4 vlan_mode=trunk',
    'p5 tag=10',
  ],
  ['p2 tag=10', 'p3 trunks=10,20'],
  ['p2 tag=10', 'p3 vlan_mode=native-untagged tag=20', 'p4 trunks=30'],
];

/** The mirror of br0, of some rows: settings where @NAME is the port of that name. One each, as their order
 * differs; and one port of which what goes out is copied, as a flood's order does. */
const MIRROR_SETTINGS: Readonly<Record<number, string>> = {
  4: 'select_src_port=@p1,@patch0 select_dst_port=@p2 output_port=@p5 snaplen=70',
  5: 'select_all=true select_vlan=0,10,20 output_vlan=30',
};

export const SETUPS = PORT_SETTINGS.length;

export function hasMirror(number: number): boolean {
  return number in MIRROR_SETTINGS;
}

/** Arguments of ovs-vsctl for one of the setups; `dir` takes the files of what ports send. */
export function setup(number: number, dir: string): string[] {
  const args: string[] = [];
  const command = (text: string): void => void args.push('--', ...text.split(' '));
  const all = 'protocols=[OpenFlow10,OpenFlow11,OpenFlow12,OpenFlow13,OpenFlow14,OpenFlow15]';
  for (const [name, mac] of [
    ['br0', 'aa:55:aa:55:00:00'],
    ['br1', 'aa:55:aa:55:00:01'],
  ]) {
    command(
      `add-br ${name} -- set bridge ${name} datapath_type=dummy fail-mode=secure ${all} other-config:hwaddr=${mac}`,
    );
  }
  const device = (bridge: string, name: string, port: number): void =>
    command(
      `add-port ${bridge} ${name} -- set interface ${name} type=dummy ofport_request=${port} options:tx_pcap=${dir}/${name}.pcap`,
    );
  for (let n = 1; n <= 5; n++) device('br0', `p${n}`, n);
  command('add-port br0 patch0 -- set interface patch0 type=patch options:peer=patch1 ofport_request=6');
  command('add-port br1 patch1 -- set interface patch1 type=patch options:peer=patch0 ofport_request=1');
  device('br1', 'q2', 2);
  for (const setting of PORT_SETTINGS[number] ?? []) command(`set port ${setting}`);
  const mirror = MIRROR_SETTINGS[number];
  if (mirror !== undefined) {
    for (const [, name] of mirror.matchAll(/@(\w+)/g)) command(`--id=@${name} get port ${name}`);
    command(`--id=@mirror create mirror name=m ${mirror} -- set bridge br0 mirrors=@mirror`);
  }
  return args.slice(1);
}
