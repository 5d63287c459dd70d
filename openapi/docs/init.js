// Draws the reference. Nothing here may ask another origin for anything: no fonts, no telemetry, no
// agent, no request proxy.
Scalar.createApiReference('#app', {
  url: '/openapi.yaml',
  withDefaultFonts: false,
  telemetry: false,
  hideClientButton: true,
  showDeveloperTools: 'never',
  agent: { disabled: true },
  mcp: { disabled: true },
})
