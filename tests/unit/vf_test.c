/* The message by which a card's driver sets one of its functions, taken apart as the kernel
 * does. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#include <cmocka.h>

#include "hosted/vf.h"

/* The attribute that `nest` begins with; the rest of it begins behind. */
static const struct rtattr *next(const struct rtattr **nest, int *left, unsigned short type,
				 size_t bytes)
{
	const struct rtattr *attribute = *nest;

	assert_true(RTA_OK(attribute, *left));
	assert_int_equal(attribute->rta_type, type);
	assert_int_equal(RTA_PAYLOAD(attribute), bytes);
	*nest = RTA_NEXT(attribute, *left);
	return attribute;
}

static void a_function_is_set(void **state)
{
	static const struct vf vf = {.card = "eth1", .number = 3};
	static const struct vf_settings settings = {
		.mac = {0, 0x15, 0x5d, 1, 2, 3}, .vlan = 7, .guarded = true};
	uint8_t bytes[VF_MESSAGE_BYTES] __attribute__((aligned(4)));
	size_t length = vf_message(&vf, 11, &settings, bytes);
	const struct nlmsghdr *head = (const struct nlmsghdr *)bytes;
	const struct ifinfomsg *link = NLMSG_DATA(head);
	const struct rtattr *list = IFLA_RTA(link), *one, *inside;
	int left = (int)(length - NLMSG_LENGTH(sizeof(*link)));
	struct ifla_vf_mac mac;
	struct ifla_vf_vlan vlan;
	struct ifla_vf_spoofchk check;

	(void)state;
	assert_int_equal(head->nlmsg_len, length);
	assert_int_equal(head->nlmsg_type, RTM_SETLINK);
	assert_int_equal(head->nlmsg_flags, NLM_F_REQUEST | NLM_F_ACK);
	assert_int_equal(link->ifi_index, 11);
	list = next(&list, &left, IFLA_VFINFO_LIST, RTA_PAYLOAD(list));
	assert_int_equal(left, 0);
	one = RTA_DATA(list);
	left = (int)RTA_PAYLOAD(list);
	one = next(&one, &left, IFLA_VF_INFO, RTA_PAYLOAD(one));
	assert_int_equal(left, 0);
	inside = RTA_DATA(one);
	left = (int)RTA_PAYLOAD(one);
	memcpy(&mac, RTA_DATA(next(&inside, &left, IFLA_VF_MAC, sizeof(mac))), sizeof(mac));
	memcpy(&vlan, RTA_DATA(next(&inside, &left, IFLA_VF_VLAN, sizeof(vlan))), sizeof(vlan));
	memcpy(&check, RTA_DATA(next(&inside, &left, IFLA_VF_SPOOFCHK, sizeof(check))),
	       sizeof(check));
	assert_int_equal(left, 0);
	assert_int_equal(mac.vf, 3);
	assert_memory_equal(mac.mac, settings.mac, 6);
	assert_int_equal(vlan.vf, 3);
	assert_int_equal(vlan.vlan, 7);
	assert_int_equal(vlan.qos, 0);
	assert_int_equal(check.vf, 3);
	assert_int_equal(check.setting, 1);
}

static void what_is_no_function(void **state)
{
	char why[400] = "", address[PCI_ADDRESS];
	struct vf vf;

	(void)state;
	assert_int_equal(vf_find("0000:00:05.9", &vf, why, sizeof(why)), -ENODEV);
	assert_string_equal(why, "there is no such device; see lspci -D");
	why[0] = '\0';
	assert_int_equal(vf_take(0, address, why, sizeof(why)), -ENOENT);
	assert_non_null(strstr(why, "no virtual function that is free"));
	/* The loopback interface is no card's. */
	assert_int_equal(vf_take(1, address, why, sizeof(why)), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_function_is_set),
		cmocka_unit_test(what_is_no_function),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
