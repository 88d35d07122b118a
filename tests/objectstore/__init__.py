"""Object stores: what all of them promise (test_contract.py), and each with the faults that its servers have."""
