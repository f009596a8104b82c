// pm2 start ecosystem.config.cjs; and `pm2 reload app` for a new version, without a gap.
module.exports = {
  apps: [
    {
      name: 'app',
      script: `${__dirname}/server.mjs`,
      args: [process.env.ADDRESS ?? '/tmp/pm2-app.sock'],
      exec_mode: 'fork', // In cluster mode pm2's own daemon would listen.
      wait_ready: true, // The server says when clients can connect.
      autorestart: true,
    },
  ],
};
