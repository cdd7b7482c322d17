/** packet_type numbers: a namespace (16 bits) and a type in it. */
export const PT_ETH = 0x00000000;
/** In decap: whatever the header says that follows. */
export const PT_USE_NEXT_PROTO = 0x0000fffe;
export const PT_MPLS = 0x00018847;
export const PT_MPLS_MC = 0x00018848;
export const PT_NSH = 0x0001894f;
export const PT_UNKNOWN = 0xffffffff;
/** Namespace whose types are Ethernet types. */
export const PT_NS_ETHERTYPE = 1;
/** Namespaces that there are. */
export const N_PT_NAMESPACES = 5;
