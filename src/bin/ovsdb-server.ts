/** The database server: `ovsdb-server [OPTIONS] [DATABASE...]`. */
import { launch } from './daemon/launch.ts';

await launch('ovsdb-server', () => import('./ovsdb/server_daemon.ts'));
