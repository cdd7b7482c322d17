/** The switch: `ovs-vswitchd [OPTIONS] [DATABASE]`. */
import { launch } from './daemon/launch.ts';

await launch('ovs-vswitchd', () => import('./vswitchd/vswitch_daemon.ts'));
