"""What a customer's days say under each rule: values in, values out, and nothing else."""
