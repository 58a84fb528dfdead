attach 24904
goroutines -s
detach
