/**
 * The `Open_vSwitch` database: its tables, columns, types, indexes and version are those of Open vSwitch
 * 3.1, so that stock tools find exactly what they expect. The row types of every client come from here.
 */
import {
  atLeast,
  column,
  ephemeral,
  fixed,
  integer,
  map,
  one,
  oneOf,
  optional,
  ref,
  set,
  some,
  table,
  weakRef,
} from './spec.ts';

const Open_vSwitch = table(
  {
    datapaths: column(map('string', ref('Datapath'))),
    bridges: column(set(ref('Bridge'))),
    manager_options: column(set(ref('Manager'))),
    ssl: column(optional(ref('SSL'))),
    other_config: column(map('string', 'string')),
    external_ids: column(map('string', 'string')),
    next_cfg: column('integer'),
    cur_cfg: column('integer'),
    statistics: ephemeral(map('string', 'string')),
    ovs_version: column(optional('string')),
    db_version: column(optional('string')),
    system_type: column(optional('string')),
    system_version: column(optional('string')),
    datapath_types: column(set('string')),
    iface_types: column(set('string')),
    dpdk_initialized: column('boolean'),
    dpdk_version: column(optional('string')),
  },
  { isRoot: true, maxRows: 1 },
);

const Bridge = table(
  {
    name: fixed('string'),
    datapath_type: column('string'),
    datapath_version: column('string'),
    datapath_id: ephemeral(optional('string')),
    stp_enable: column('boolean'),
    rstp_enable: column('boolean'),
    mcast_snooping_enable: column('boolean'),
    ports: column(set(ref('Port'))),
    mirrors: column(set(ref('Mirror'))),
    netflow: column(optional(ref('NetFlow'))),
    sflow: column(optional(ref('sFlow'))),
    ipfix: column(optional(ref('IPFIX'))),
    controller: column(set(ref('Controller'))),
    protocols: column(
      set(oneOf('OpenFlow10', 'OpenFlow11', 'OpenFlow12', 'OpenFlow13', 'OpenFlow14', 'OpenFlow15')),
    ),
    fail_mode: column(optional(oneOf('standalone', 'secure'))),
    status: ephemeral(map('string', 'string')),
    rstp_status: ephemeral(map('string', 'string')),
    other_config: column(map('string', 'string')),
    external_ids: column(map('string', 'string')),
    flood_vlans: column(set(integer(0, 4095), 4096)),
    flow_tables: column(map(integer(0, 254), ref('Flow_Table'))),
    auto_attach: column(optional(ref('AutoAttach'))),
  },
  { indexes: [['name']] },
);

const Port = table(
  {
    name: fixed('string'),
    interfaces: column(some(ref('Interface'))),
    trunks: column(set(integer(0, 4095), 4096)),
    cvlans: column(set(integer(0, 4095), 4096)),
    tag: column(optional(integer(0, 4095))),
    vlan_mode: column(optional(oneOf('trunk', 'access', 'native-tagged', 'native-untagged', 'dot1q-tunnel'))),
    qos: column(optional(ref('QoS'))),
    mac: column(optional('string')),
    bond_mode: column(optional(oneOf('balance-tcp', 'balance-slb', 'active-backup'))),
    lacp: column(optional(oneOf('active', 'passive', 'off'))),
    bond_updelay: column('integer'),
    bond_downdelay: column('integer'),
    bond_active_slave: column(optional('string')),
    bond_fake_iface: column('boolean'),
    fake_bridge: column('boolean'),
    status: ephemeral(map('string', 'string')),
    rstp_status: ephemeral(map('string', 'string')),
    rstp_statistics: ephemeral(map('string', 'integer')),
    statistics: ephemeral(map('string', 'integer')),
    protected: column('boolean'),
    other_config: column(map('string', 'string')),
    external_ids: column(map('string', 'string')),
  },
  { indexes: [['name']] },
);

const Interface = table(
  {
    name: fixed('string'),
    type: column('string'),
    options: column(map('string', 'string')),
    ingress_policing_rate: column(one(atLeast(0))),
    ingress_policing_burst: column(one(atLeast(0))),
    ingress_policing_kpkts_rate: column(one(atLeast(0))),
    ingress_policing_kpkts_burst: column(one(atLeast(0))),
    mac_in_use: ephemeral(optional('string')),
    mac: column(optional('string')),
    ifindex: ephemeral(optional(integer(0, 4294967295))),
    external_ids: column(map('string', 'string')),
    ofport: column(optional('integer')),
    ofport_request: column(optional(integer(1, 65279))),
    bfd: column(map('string', 'string')),
    bfd_status: ephemeral(map('string', 'string')),
    cfm_mpid: column(optional('integer')),
    cfm_remote_mpids: ephemeral(set('integer')),
    cfm_flap_count: column(optional('integer')),
    cfm_fault: ephemeral(optional('boolean')),
    cfm_fault_status: ephemeral(set('string')),
    cfm_remote_opstate: ephemeral(optional(oneOf('up', 'down'))),
    cfm_health: ephemeral(optional(integer(0, 100))),
    lacp_current: ephemeral(optional('boolean')),
    lldp: column(map('string', 'string')),
    other_config: column(map('string', 'string')),
    statistics: ephemeral(map('string', 'integer')),
    status: ephemeral(map('string', 'string')),
    admin_state: ephemeral(optional(oneOf('up', 'down'))),
    link_state: ephemeral(optional(oneOf('up', 'down'))),
    link_resets: ephemeral(optional('integer')),
    link_speed: ephemeral(optional('integer')),
    duplex: ephemeral(optional(oneOf('half', 'full'))),
    mtu: ephemeral(optional('integer')),
    mtu_request: column(optional(atLeast(1))),
    error: column(optional('string')),
  },
  { indexes: [['name']] },
);

const Flow_Table = table(
  {
    name: column(optional('string')),
    flow_limit: column(optional(atLeast(0))),
    overflow_policy: column(optional(oneOf('refuse', 'evict'))),
    groups: column(set('string')),
    prefixes: column(set('string', 3)),
    external_ids: column(map('string', 'string')),
  },
  {},
);

const QoS = table(
  {
    type: column('string'),
    queues: column(map(integer(0, 4294967295), ref('Queue'))),
    other_config: column(map('string', 'string')),
    external_ids: column(map('string', 'string')),
  },
  { isRoot: true },
);

const Queue = table(
  {
    dscp: column(optional(integer(0, 63))),
    other_config: column(map('string', 'string')),
    external_ids: column(map('string', 'string')),
  },
  { isRoot: true },
);

const Mirror = table(
  {
    name: column('string'),
    select_all: column('boolean'),
    select_src_port: column(set(weakRef('Port'))),
    select_dst_port: column(set(weakRef('Port'))),
    select_vlan: column(set(integer(0, 4095), 4096)),
    output_port: column(optional(weakRef('Port'))),
    output_vlan: column(optional(integer(1, 4095))),
    snaplen: column(optional(integer(14, 65535))),
    statistics: ephemeral(map('string', 'integer')),
    external_ids: column(map('string', 'string')),
  },
  {},
);

const NetFlow = table(
  {
    targets: column(some('string')),
    engine_type: column(optional(integer(0, 255))),
    engine_id: column(optional(integer(0, 255))),
    add_id_to_interface: column('boolean'),
    active_timeout: column(one(atLeast(-1))),
    external_ids: column(map('string', 'string')),
  },
  {},
);

const sFlow = table(
  {
    targets: column(some('string')),
    sampling: column(optional('integer')),
    polling: column(optional('integer')),
    header: column(optional('integer')),
    agent: column(optional('string')),
    external_ids: column(map('string', 'string')),
  },
  {},
);

const IPFIX = table(
  {
    targets: column(set('string')),
    sampling: column(optional(integer(1, 4294967295))),
    obs_domain_id: column(optional(integer(0, 4294967295))),
    obs_point_id: column(optional(integer(0, 4294967295))),
    cache_active_timeout: column(optional(integer(0, 4200))),
    cache_max_flows: column(optional(integer(0, 4294967295))),
    other_config: column(map('string', 'string')),
    external_ids: column(map('string', 'string')),
  },
  {},
);

const Flow_Sample_Collector_Set = table(
  {
    id: column(one(integer(0, 4294967295))),
    bridge: column(one(ref('Bridge'))),
    ipfix: column(optional(ref('IPFIX'))),
    external_ids: column(map('string', 'string')),
  },
  { isRoot: true, indexes: [['id', 'bridge']] },
);

const Controller = table(
  {
    type: column(optional(oneOf('primary', 'service'))),
    target: column('string'),
    max_backoff: column(optional(atLeast(1000))),
    inactivity_probe: column(optional('integer')),
    connection_mode: column(optional(oneOf('in-band', 'out-of-band'))),
    local_ip: column(optional('string')),
    local_netmask: column(optional('string')),
    local_gateway: column(optional('string')),
    enable_async_messages: column(optional('boolean')),
    controller_queue_size: column(optional(integer(1, 512))),
    controller_rate_limit: column(optional(atLeast(100))),
    controller_burst_limit: column(optional(atLeast(25))),
    other_config: column(map('string', 'string')),
    external_ids: column(map('string', 'string')),
    is_connected: ephemeral('boolean'),
    role: ephemeral(optional(oneOf('other', 'master', 'slave'))),
    status: ephemeral(map('string', 'string')),
  },
  {},
);

const Manager = table(
  {
    target: column('string'),
    max_backoff: column(optional(atLeast(1000))),
    inactivity_probe: column(optional('integer')),
    connection_mode: column(optional(oneOf('in-band', 'out-of-band'))),
    other_config: column(map('string', 'string')),
    external_ids: column(map('string', 'string')),
    is_connected: ephemeral('boolean'),
    status: ephemeral(map('string', 'string')),
  },
  { indexes: [['target']] },
);

const Datapath = table(
  {
    datapath_version: column('string'),
    ct_zones: column(map(integer(0, 65535), ref('CT_Zone'))),
    capabilities: column(map('string', 'string')),
    external_ids: column(map('string', 'string')),
  },
  {},
);

const CT_Zone = table(
  {
    timeout_policy: column(optional(ref('CT_Timeout_Policy'))),
    external_ids: column(map('string', 'string')),
  },
  {},
);

const CT_Timeout_Policy = table(
  {
    timeouts: column(
      map(
        oneOf(
          'tcp_syn_sent',
          'tcp_syn_recv',
          'tcp_established',
          'tcp_fin_wait',
          'tcp_close_wait',
          'tcp_last_ack',
          'tcp_time_wait',
          'tcp_close',
          'tcp_syn_sent2',
          'tcp_retransmit',
          'tcp_unack',
          'udp_first',
          'udp_single',
          'udp_multiple',
          'icmp_first',
          'icmp_reply',
        ),
        integer(0, 4294967295),
      ),
    ),
    external_ids: column(map('string', 'string')),
  },
  {},
);

const SSL = table(
  {
    private_key: column('string'),
    certificate: column('string'),
    ca_cert: column('string'),
    bootstrap_ca_cert: column('boolean'),
    external_ids: column(map('string', 'string')),
  },
  { maxRows: 1 },
);

const AutoAttach = table(
  {
    system_name: column('string'),
    system_description: column('string'),
    mappings: column(map(integer(0, 16777215), integer(0, 4095))),
  },
  {},
);

export const openVSwitchSchema = {
  name: 'Open_vSwitch',
  version: '8.3.1',
  cksum: '3012963480 26720',
  tables: {
    Open_vSwitch,
    Bridge,
    Port,
    Interface,
    Flow_Table,
    QoS,
    Queue,
    Mirror,
    NetFlow,
    sFlow,
    IPFIX,
    Flow_Sample_Collector_Set,
    Controller,
    Manager,
    Datapath,
    CT_Zone,
    CT_Timeout_Policy,
    SSL,
    AutoAttach,
  },
} as const;

export type OpenVSwitchSchema = typeof openVSwitchSchema;
