# The management service for other hosts.
web_parts := $(addprefix web/,secret.o session.o limit.o token.o certificate.o login.o monitor.o connection.o console.o websocket.o forward.o sandbox.o)
web_objs := web/main.o $(web_parts) $(addprefix hosted/,listen.o packet.o form.o sandbox.o say.o)

web_products := build/web/vweb
build/web/vweb: $(call user,$(web_objs))
	$(call link_user,-ljansson -lmicrohttpd -lgnutls -lseccomp -lpam)

web_tests := tests/unit/websocket_test.c tests/unit/web_secret_test.c
websocket_test_objs := web/websocket.o
websocket_test_libs := -lgnutls
web_secret_test_objs := $(addprefix web/,secret.o session.o limit.o forward.o) hosted/say.o
web_secret_test_libs := -lgnutls

web_fuzzers := tests/fuzz/web_fuzz.c
web_fuzz_objs := $(addprefix web/,websocket.o secret.o forward.o) hosted/say.o
web_fuzz_libs := -lgnutls
