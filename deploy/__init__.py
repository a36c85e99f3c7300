"""What it takes to run the services: image, manifests, migrations."""
