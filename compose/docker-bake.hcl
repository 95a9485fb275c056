# All images at once: docker buildx bake --file compose/docker-bake.hcl [--push]. For one machine, `make build` is simpler.
variable "NODE_IMAGE" { default = "node:26-alpine" }
variable "BATON_IMAGE" { default = "baton" }
variable "BATON_VERSION" { default = "dev" }
variable "REVISION" { default = "unknown" }
variable "PLATFORMS" { default = "linux/amd64,linux/arm64" }

group "default" { targets = ["service"] }

target "service" {
  name       = service
  matrix     = { service = ["orchestrator", "workflow-runner", "http-worker", "hitl-worker", "agent-runner", "fanout"] }
  context    = "."
  dockerfile = "compose/Dockerfile"
  target     = "service"
  args = {
    SERVICE    = service
    NODE_IMAGE = NODE_IMAGE
    VERSION    = BATON_VERSION
    REVISION   = REVISION
  }
  tags      = ["${BATON_IMAGE}-${service}:${BATON_VERSION}"]
  platforms = split(",", PLATFORMS)
  # What is in an image, and where it comes from, travel with it.
  attest = ["type=sbom", "type=provenance,mode=max"]
}
