// `pm2 start ecosystem.config.cjs`, and `pm2 sendSignal SIGHUP app` for a new version without a gap. `pm2 reload` would stop the old process first.
const { join } = require('node:path');

const manifest = require.resolve('reuseaddr/package.json');

module.exports = {
  apps: [
    {
      name: 'app',
      // pm2 supervises `reuseaddr run`, which keeps the address and replaces the server behind it.
      script: join(manifest, '..', require(manifest).bin.reuseaddr),
      args: [
        'run',
        '--restart=always',
        process.env.ADDRESS ?? '/tmp/pm2-app.sock',
        '--',
        process.execPath,
        join(__dirname, 'server.mjs'),
      ],
      exec_mode: 'fork', // In cluster mode pm2's own daemon would listen.
    },
  ],
};
