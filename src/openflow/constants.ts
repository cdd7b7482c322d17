/**
 * Numbers of the OpenFlow protocol that all versions share once ports are widened to 32 bits. Names
 * are the specifications' (OFPP_*, OFPR_*, ...).
 */

// --- Ports ------------------------------------------------------------------------------------------
/** Ports at and above this number are reserved; those below are the switch's. */
export const OFPP_MAX = 0xffffff00;
/** Only as a value of actset_output: no output action. */
export const OFPP_UNSET = 0xfffffff7;
export const OFPP_IN_PORT = 0xfffffff8;
export const OFPP_TABLE = 0xfffffff9;
export const OFPP_NORMAL = 0xfffffffa;
export const OFPP_FLOOD = 0xfffffffb;
export const OFPP_ALL = 0xfffffffc;
export const OFPP_CONTROLLER = 0xfffffffd;
export const OFPP_LOCAL = 0xfffffffe;
/** No port; in requests: any port. */
export const OFPP_NONE = 0xffffffff;
export const OFPP_ANY = OFPP_NONE;

// --- Groups, queues, tables, meters, buffers ----------------------------------------------------------
export const OFPG_MAX = 0xffffff00;
export const OFPG_ALL = 0xfffffffc;
export const OFPG_ANY = 0xffffffff;
export const OFPG_BUCKET_MAX = 0xffffff00;
export const OFPG_BUCKET_FIRST = 0xfffffffd;
export const OFPG_BUCKET_LAST = 0xfffffffe;
export const OFPG_BUCKET_ALL = 0xffffffff;
export const OFPQ_ALL = 0xffffffff;
export const OFPTT_MAX = 0xfe;
/** All tables; in a flow mod that adds: the switch chooses. */
export const OFPTT_ALL = 0xff;
export const OFPM_MAX = 0xffff0000;
export const OFPM_SLOWPATH = 0xfffffffd;
export const OFPM_CONTROLLER = 0xfffffffe;
export const OFPM_ALL = 0xffffffff;
export const NO_BUFFER = 0xffffffff;
export const OFPCML_NO_BUFFER = 0xffff;
export const DEFAULT_PRIORITY = 0x8000;
export const DEFAULT_MISS_SEND_LEN = 128;
/** Counters and cookies that are unknown or absent: 64 one bits. */
export const UINT64_MAX = 0xffffffffffffffffn;
/** Durations that are unknown. */
export const UINT32_MAX = 0xffffffff;

// --- Reasons ------------------------------------------------------------------------------------------
export const OFPR_NO_MATCH = 0;
export const OFPR_ACTION = 1;
export const OFPR_INVALID_TTL = 2;
export const OFPR_ACTION_SET = 3;
export const OFPR_GROUP = 4;
export const OFPR_PACKET_OUT = 5;
/** Never on the wire: a table-miss flow sent it. */
export const OFPR_EXPLICIT_MISS = 6;
/** Never on the wire: no flow at all matched. */
export const OFPR_IMPLICIT_MISS = 7;
export const OFPR10_BITS = 0x07;
export const OFPR14_ACTION_BITS = 0x38;
export const OFPR14_BITS = 0x3f;

export const OFPRR_IDLE_TIMEOUT = 0;
export const OFPRR_HARD_TIMEOUT = 1;
export const OFPRR_DELETE = 2;
export const OFPRR_GROUP_DELETE = 3;
export const OFPRR_METER_DELETE = 4;
export const OFPRR_EVICTION = 5;
export const OFPRR10_BITS = 0x07;
export const OFPRR13_BITS = 0x0f;
export const OFPRR14_BITS = 0x3f;

export const OFPPR_ADD = 0;
export const OFPPR_DELETE = 1;
export const OFPPR_MODIFY = 2;
export const OFPPR_BITS = 0x07;

export const OFPTR_VACANCY_DOWN = 3;
export const OFPTR_VACANCY_UP = 4;
export const OFPTR_BITS = 0x18;

export const OFPCRR_PRIMARY_REQUEST = 0;
export const OFPCRR_CONFIG = 1;
export const OFPCRR_EXPERIMENTER = 2;
export const OFPCRR_BITS = 0x07;

export const OFPRFR_GROUP_MOD = 0;
export const OFPRFR_METER_MOD = 1;
export const OFPRFR_BITS = 0x03;

// --- Flow mod flags, the same bits in every version's terms here ----------------------------------------
export const FF_SEND_FLOW_REM = 1 << 0;
export const FF_NO_PKT_COUNTS = 1 << 1;
export const FF_NO_BYT_COUNTS = 1 << 2;
export const FF_CHECK_OVERLAP = 1 << 3;
export const FF_RESET_COUNTS = 1 << 4;
/** OpenFlow 1.0's emergency flow cache. */
export const FF_EMERG = 1 << 5;
/** Flags that a flow keeps. */
export const FF_STATE =
  FF_SEND_FLOW_REM | FF_NO_PKT_COUNTS | FF_NO_BYT_COUNTS | FF_CHECK_OVERLAP | FF_RESET_COUNTS;

// --- Port configuration, state and features ---------------------------------------------------------------
export const PC_PORT_DOWN = 1 << 0;
/** OpenFlow 1.0 only, as are NO_RECV_STP and NO_FLOOD. */
export const PC_NO_STP = 1 << 1;
export const PC_NO_RECV = 1 << 2;
export const PC_NO_RECV_STP = 1 << 3;
export const PC_NO_FLOOD = 1 << 4;
export const PC_NO_FWD = 1 << 5;
export const PC_NO_PACKET_IN = 1 << 6;

export const PS_LINK_DOWN = 1 << 0;
export const PS_BLOCKED = 1 << 1;
export const PS_LIVE = 1 << 2;
/** OpenFlow 1.0: the spanning tree state, in two bits. */
export const PS_STP_LISTEN = 0 << 8;
export const PS_STP_LEARN = 1 << 8;
export const PS_STP_FORWARD = 2 << 8;
export const PS_STP_BLOCK = 3 << 8;
export const PS_STP_MASK = 3 << 8;

/** Link features, numbered as from OpenFlow 1.1 on. */
export const PF_10MB_HD = 1 << 0;
export const PF_10MB_FD = 1 << 1;
export const PF_100MB_HD = 1 << 2;
export const PF_100MB_FD = 1 << 3;
export const PF_1GB_HD = 1 << 4;
export const PF_1GB_FD = 1 << 5;
export const PF_10GB_FD = 1 << 6;
export const PF_40GB_FD = 1 << 7;
export const PF_100GB_FD = 1 << 8;
export const PF_1TB_FD = 1 << 9;
export const PF_OTHER = 1 << 10;
export const PF_COPPER = 1 << 11;
export const PF_FIBER = 1 << 12;
export const PF_AUTONEG = 1 << 13;
export const PF_PAUSE = 1 << 14;
export const PF_PAUSE_ASYM = 1 << 15;

// --- Switch capabilities -------------------------------------------------------------------------------------
export const C_FLOW_STATS = 1 << 0;
export const C_TABLE_STATS = 1 << 1;
export const C_PORT_STATS = 1 << 2;
/** OpenFlow 1.0 only. */
export const C_STP = 1 << 3;
/** OpenFlow 1.1 and later. */
export const C_GROUP_STATS = 1 << 4;
export const C_IP_REASM = 1 << 5;
export const C_QUEUE_STATS = 1 << 6;
/** OpenFlow 1.0 and 1.1. */
export const C_ARP_MATCH_IP = 1 << 7;
/** OpenFlow 1.2 and later. */
export const C_PORT_BLOCKED = 1 << 8;
/** OpenFlow 1.4 and later. */
export const C_BUNDLES = 1 << 9;
export const C_FLOW_MONITORING = 1 << 10;

// --- Bundles, flow monitors, meters, table eviction ------------------------------------------------------------
export const OFPBF_ATOMIC = 1 << 0;
export const OFPBF_ORDERED = 1 << 1;

export const OFPFMF_INITIAL = 1 << 0;
export const OFPFMF_ADD = 1 << 1;
export const OFPFMF_REMOVED = 1 << 2;
export const OFPFMF_MODIFY = 1 << 3;
export const OFPFMF_INSTRUCTIONS = 1 << 4;
export const OFPFMF_NO_ABBREV = 1 << 5;
export const OFPFMF_ONLY_OWN = 1 << 6;

export const OFPMF_KBPS = 1 << 0;
export const OFPMF_PKTPS = 1 << 1;
export const OFPMF_BURST = 1 << 2;
export const OFPMF_STATS = 1 << 3;
export const OFPMBT_DROP = 1;
export const OFPMBT_DSCP_REMARK = 2;

export const OFPTMPEF_OTHER = 1 << 0;
export const OFPTMPEF_IMPORTANCE = 1 << 1;
export const OFPTMPEF_LIFETIME = 1 << 2;

// --- Groups -------------------------------------------------------------------------------------------------------
export const OFPGT_ALL = 0;
export const OFPGT_SELECT = 1;
export const OFPGT_INDIRECT = 2;
export const OFPGT_FF = 3;
export const OFPGFC_SELECT_WEIGHT = 1 << 0;
export const OFPGFC_SELECT_LIVENESS = 1 << 1;
export const OFPGFC_CHAINING = 1 << 2;
export const OFPGFC_CHAINING_CHECKS = 1 << 3;
