// Draws the reference. Nothing here may ask another origin for anything: no fonts, no telemetry, no
// agent, no request proxy. This file runs before the component does.
globalThis.__zod_globalConfig = { jitless: true } // the component would try eval, which the policy forbids

const loaded = new Promise((resolve) => addEventListener('DOMContentLoaded', resolve))
const documents = '\n\nThe OpenAPI document: [YAML](/openapi.yaml), [JSON](/openapi.json), [in version 3.0](/openapi-3.0.yaml).'

fetch('/openapi.json')
  .then((response) => (response.ok ? response.json() : Promise.reject(new Error(`/openapi.json: ${response.status}`))))
  .then(async (content) => {
    await loaded
    content.info.description += documents
    leaveOut(content.paths)
    Scalar.createApiReference('#app', {
      content,
      documentDownloadType: 'none', // it would be this copy; the links lead to the original
      withDefaultFonts: false,
      telemetry: false,
      hideClientButton: true,
      showDeveloperTools: 'never',
      agent: { disabled: true },
      mcp: { disabled: true },
    })
  })
  .catch((error) => {
    document.getElementById('app').textContent = `The reference cannot be shown (${error.message}). Reload the page, or read /openapi.yaml.`
  })

// leaveOut keeps optional parameters out of a request until they are ticked: it would otherwise be
// sent with every filter at once, and find nothing.
function leaveOut(paths) {
  for (const item of Object.values(paths)) {
    for (const operation of Object.values(item)) {
      for (const parameter of operation.parameters ?? []) {
        if (!parameter.required && 'example' in parameter) {
          parameter.examples = { example: { value: parameter.example, 'x-disabled': true } }
          delete parameter.example
        }
      }
    }
  }
}
