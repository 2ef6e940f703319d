// Builds the one document that serves both `/` and `/watch`, and its hashed assets.
import { svelte } from '@sveltejs/vite-plugin-svelte'
import { defineConfig } from 'vitest/config'

// The control plane that `npm run dev` passes API calls to.
const control = process.env['MILLRACE_CONTROL'] ?? 'http://127.0.0.1:8080'

export default defineConfig({
  plugins: [svelte({ configFile: false })],
  root: 'src',
  cacheDir: '../node_modules/.vite',
  server: { proxy: { '/v1': control } },
  preview: { proxy: { '/v1': control } },
  build: {
    outDir: '../dist',
    emptyOutDir: true,
    target: 'es2022',
    // No `data:` URLs, so that a strict Content-Security-Policy needs no exception.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // The players load on demand and are large by nature.
    chunkSizeWarningLimit: 1024,
    license: { fileName: 'licenses.md' },
  },
  test: { include: ['**/*.test.ts'] },
})
