"""How the service is deployed and watched, checked as far as the machine has the tools for it."""
