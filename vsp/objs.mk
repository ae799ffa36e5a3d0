# The virtualization service providers: what is behind the guest's synthetic devices.
